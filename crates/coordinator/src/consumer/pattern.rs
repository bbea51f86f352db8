//! Subscriptions by regular expression.
//!
//! Kafka takes them in the syntax of RE2/J, which a match of takes time in the order of the name's length whatever the expression;
//! so it is here. A name must match from end to end. Topics' names are ASCII, and classes such as `\w` mean ASCII in RE2/J.

use regex::bytes::{Regex, RegexBuilder};
use tracing::warn;

use crate::cluster::Cluster;
use crate::error::GroupError;
use crate::record::ELEMENT_BYTES;

/// The longest expression, in bytes.
const LENGTH_MAX: usize = 16 * 1024;

/// The most memory for a compiled expression, in bytes.
const COMPILED_MAX: usize = 1024 * 1024;

/// The most memory for what is cached while an expression is matched, in bytes.
const CACHE_MAX: usize = 1024 * 1024;

/// Checks an expression of a member's.
///
/// # Errors
/// [`GroupError::InvalidRegularExpression`].
pub(crate) fn check(expression: &str) -> Result<(), GroupError> {
    compile(expression).map(drop).map_err(|why| {
        GroupError::InvalidRegularExpression(format!(
            "SubscribedTopicRegex `{expression}` is not a valid regular expression: {why}."
        ))
    })
}

/// The most that an expression may come to, in bytes: so much fits into a record.
const RESOLVED_MAX: usize = wiber_model::limit::MAX_BATCH_BYTES / 8 * 7;

/// A search for the topics whose names an expression matches, which goes on where it left off.
#[derive(Debug)]
pub(crate) struct Search {
    expression: String,
    /// Absent if the expression is not valid: nothing matches.
    regex: Option<Regex>,
    found: Vec<String>,
    /// The last name that was looked at; empty: none was.
    seen: String,
}

impl Search {
    /// A search that has looked at no topic yet.
    pub(crate) fn new(expression: String) -> Search {
        Search {
            regex: compile(&expression).ok(),
            expression,
            found: Vec::new(),
            seen: String::new(),
        }
    }

    /// The expression.
    pub(crate) fn expression(&self) -> &str {
        &self.expression
    }

    /// Looks at `limit` more topics, if there are as many. Returns at how many it looked: fewer, if there are no more.
    pub(crate) fn go_on(&mut self, cluster: &dyn Cluster, limit: usize) -> usize {
        let Some(regex) = &self.regex else {
            return 0;
        };
        let mut looked_at = 0;
        let mut last = None;
        for name in cluster.topic_names(&self.seen).take(limit) {
            looked_at += 1;
            last = Some(name);
            if regex.is_match(name.as_bytes()) {
                self.found.push(name.to_owned());
            }
        }
        if let Some(last) = last {
            last.clone_into(&mut self.seen);
        }
        looked_at
    }

    /// The names that match, in order, as many as fit into a record.
    pub(crate) fn finish(self) -> Vec<String> {
        let mut names = self.found;
        names.sort_unstable();
        names.dedup();
        let mut bytes = 0;
        let fits = names.iter().take_while(|name| {
            bytes += name.len() + ELEMENT_BYTES;
            bytes <= RESOLVED_MAX
        });
        let fits = fits.count();
        if fits < names.len() {
            warn!(
                expression = self.expression,
                topics = names.len(),
                "a regular expression comes to more topics than can be stored: those from {} on are left out",
                names[fits]
            );
            names.truncate(fits);
        }
        names
    }
}

/// The expression that matches whole names, or why there is none.
fn compile(expression: &str) -> Result<Regex, String> {
    if expression.len() > LENGTH_MAX {
        return Err(format!("it is longer than {LENGTH_MAX} bytes"));
    }
    let expression = without_quotes(expression);
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.unicode(false).size_limit(COMPILED_MAX);
        builder.dfa_size_limit(CACHE_MAX).build()
    };
    // It has to be an expression by itself: "a)(b" is none, though it would be one within parentheses.
    build(&expression)
        .and_then(|_| build(&format!(r"\A(?:{expression})\z")))
        .map_err(|error| one_line(&error))
}

/// The last line of the error is what is wrong; the others draw where.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Writes `\Q…\E`, which RE2/J knows and the crate `regex` does not, with escapes.
fn without_quotes(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        if let Some(quoted) = escape.strip_prefix("\\Q") {
            let (quoted, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(quoted));
            rest = after;
        } else {
            let escaped = escape.chars().nth(1).map_or(1, |c| 1 + c.len_utf8());
            out.push_str(&escape[..escaped]);
            rest = &escape[escaped..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
