use wiber_model::TopicId;

use super::*;
use crate::config::GroupOverrides;

struct Names(&'static [&'static str]);

impl Cluster for Names {
    fn topic_id(&self, _: &str) -> Option<TopicId> {
        None
    }
    fn topic_name(&self, _: TopicId) -> Option<&str> {
        None
    }
    fn partitions(&self, _: TopicId) -> i32 {
        0
    }
    fn racks(&self, _: TopicId, _: i32) -> Vec<&str> {
        Vec::new()
    }
    fn topic_names<'a>(&'a self, after: &str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let seen = self.0.iter().position(|name| *name == after);
        Box::new(self.0[seen.map_or(0, |at| at + 1)..].iter().copied())
    }
    fn version(&self) -> i64 {
        0
    }
    fn group_overrides(&self, _: &str) -> GroupOverrides {
        GroupOverrides::default()
    }
}

/// What an expression comes to, at which it is looked a few topics at a time.
fn matching(expression: &str, cluster: &dyn Cluster) -> Vec<String> {
    let mut search = Search::new(expression.to_owned());
    while search.go_on(cluster, 3) == 3 {}
    search.finish()
}

/// More names than fit a record.
const MANY: usize = 80_000;

fn long_names() -> &'static [&'static str] {
    let name = |number| &*format!("{number:0>249}").leak();
    (0..MANY).map(name).collect::<Vec<&'static str>>().leak()
}

#[test]
fn what_an_expression_comes_to_fits_a_record() {
    let names = Names(long_names());
    let mut search = Search::new(".*".to_owned());
    assert_eq!(search.go_on(&names, MANY + 1), MANY);
    let matching = search.finish();
    let bytes: usize = matching.iter().map(String::len).sum();
    assert!(bytes < wiber_model::limit::MAX_BATCH_BYTES, "{bytes}");
    assert!(bytes > wiber_model::limit::MAX_BATCH_BYTES / 2, "{bytes}");
    assert!(matching.is_sorted());
}

const TOPICS: Names = Names(&["a", "ab", "abc", "b.c", "bxc", "logs-1", "logs-22"]);

#[test]
fn a_name_matches_from_end_to_end() {
    assert_eq!(matching("a", &TOPICS), ["a"]);
    assert_eq!(
        matching("a|ab", &TOPICS),
        ["a", "ab"],
        "the first alternative is not enough"
    );
    assert_eq!(matching("ab?", &TOPICS), ["a", "ab"]);
    assert_eq!(matching(r"logs-\d+", &TOPICS), ["logs-1", "logs-22"]);
    assert_eq!(matching("(?i)LOGS-[[:digit:]]", &TOPICS), ["logs-1"]);
    assert_eq!(matching("b.c", &TOPICS), ["b.c", "bxc"]);
    assert_eq!(matching("^a.*$", &TOPICS), ["a", "ab", "abc"]);
    assert_eq!(matching("", &TOPICS), [""; 0]);
}

#[test]
fn what_stands_between_q_and_e_is_taken_as_it_is() {
    assert_eq!(matching(r"\Qb.c\E", &TOPICS), ["b.c"]);
    assert_eq!(matching(r"\Qb.\E[a-c]", &TOPICS), ["b.c"]);
    assert_eq!(
        matching(r"\Qb.c", &TOPICS),
        ["b.c"],
        "the end may be left out"
    );
    assert_eq!(
        matching(r"b\\Q", &TOPICS),
        [""; 0],
        "an escaped backslash begins nothing"
    );
}

#[test]
fn what_is_not_an_expression_is_refused() {
    for wrong in [
        "[a",
        "a)(b",
        "*",
        "(?<x",
        r"(?=a)b",
        r"(a)\1",
        r"(?x)a # b",
        r"\",
    ] {
        let error = check(wrong).unwrap_err().to_string();
        let start = format!("SubscribedTopicRegex `{wrong}` is not a valid regular expression: ");
        assert!(error.starts_with(&start), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(check(&"a".repeat(LENGTH_MAX)).is_ok());
    assert!(check(&"a".repeat(LENGTH_MAX + 1)).is_err());
    assert!(
        check("(((a{100}){100}){100}){100}").is_err(),
        "too large when compiled"
    );
}
