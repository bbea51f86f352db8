//! What a setting may be: the types of Kafka's `ConfigDef`, with the bounds of each.

use std::collections::BTreeSet;

pub(crate) const INT_MAX: i64 = i32::MAX as i64;

/// What a key may be set to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A whole number of 32 bits within bounds.
    Int(i64, i64),
    /// A whole number of 32 bits within bounds, or the first number, which stands for a default.
    IntOr(i64, i64, i64),
    /// A whole number of 64 bits from a bound on.
    Long(i64),
    /// A whole number of 16 bits from a bound on.
    Short(i64),
    /// A number from 0 to 1.
    Ratio,
    /// A number within bounds.
    Double(f64, f64),
    /// Any text.
    Text,
    /// A name of a class.
    Class,
    /// A text that is not shown.
    Password,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A list of some words.
    Words(&'static [&'static str]),
    /// A list of replicas, `partition:broker`, or `*`.
    Replicas,
    /// Any list.
    Any,
    /// `true` or `false`.
    Flag,
    /// A flag that can only be `false`.
    Off,
}

impl Kind {
    /// The type, as DescribeConfigs numbers it (`DescribeConfigsResponse.ConfigType`).
    pub(crate) fn number(self) -> i8 {
        match self {
            Kind::Flag | Kind::Off => 1,
            Kind::Word(_) | Kind::Text => 2,
            Kind::Int(..) | Kind::IntOr(..) => 3,
            Kind::Short(_) => 4,
            Kind::Long(_) => 5,
            Kind::Ratio | Kind::Double(..) => 6,
            Kind::Words(_) | Kind::Replicas | Kind::Any => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }

    /// What it may be, in words.
    pub(crate) fn wanted(self) -> String {
        let whole = |least: i64, most: i64, all: (i64, i64)| match (least == all.0, most == all.1) {
            (true, true) => "a whole number".to_owned(),
            (false, true) if most == i64::MAX => format!("a whole number from {least} on"),
            _ => format!("a whole number from {least} to {most}"),
        };
        match self {
            Kind::Int(least, most) => whole(least, most, (i64::from(i32::MIN), INT_MAX)),
            Kind::IntOr(other, least, most) => {
                format!("a whole number from {least} to {most}, or {other}")
            }
            Kind::Short(least) => whole(least, i64::from(i16::MAX), (i64::from(i16::MIN), 0)),
            Kind::Long(least) => whole(least, i64::MAX, (i64::MIN, i64::MAX)),
            Kind::Ratio => "a number from 0 to 1".to_owned(),
            Kind::Double(least, f64::MAX) if least == f64::MIN => "a number".to_owned(),
            Kind::Double(least, f64::MAX) => format!("a number from {least} on"),
            Kind::Double(least, most) => format!("a number from {least} to {most}"),
            Kind::Word(words) => format!("one of: {}", words.join(", ")),
            Kind::Words(words) => format!("a list of none or some of: {}", words.join(", ")),
            Kind::Replicas => "* or a list of replicas, each partition:broker".to_owned(),
            Kind::Any => "a list".to_owned(),
            Kind::Text => "a text".to_owned(),
            Kind::Class => "the name of a class".to_owned(),
            Kind::Password => "a password".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Off => "false".to_owned(),
        }
    }

    /// Whether single elements can be appended and subtracted.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Kind::Words(_) | Kind::Replicas | Kind::Any)
    }

    /// The value as Kafka writes what it has read.
    ///
    /// # Errors
    /// In words: what it may be.
    pub(crate) fn parse(self, value: &str) -> Result<String, String> {
        let value = value.trim();
        match self {
            Kind::Int(least, most) => whole(value, least, most),
            Kind::IntOr(other, ..) if value.parse() == Ok(other) => Ok(other.to_string()),
            Kind::IntOr(other, least, most) => {
                whole(value, least, most).map_err(|legal| format!("{legal}, or {other}"))
            }
            Kind::Long(least) => whole(value, least, i64::MAX),
            Kind::Short(least) => whole(value, least, i64::from(i16::MAX)),
            Kind::Ratio => Kind::Double(0.0, 1.0).parse(value),
            Kind::Double(least, most) => match value.parse::<f64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(format!("{number:?}")),
                _ => Err(format!("must be {}", self.wanted())),
            },
            Kind::Text | Kind::Class | Kind::Password => Ok(value.to_owned()),
            Kind::Word(words) if words.contains(&value) => Ok(value.to_owned()),
            Kind::Word(words) => Err(format!("must be one of: {}", words.join(", "))),
            Kind::Words(words) => list(value, |element| {
                if words.contains(&element) {
                    return Ok(());
                }
                Err(format!(
                    "must be a list of none or some of: {}",
                    words.join(", ")
                ))
            }),
            Kind::Replicas if value == "*" => Ok(value.to_owned()),
            Kind::Replicas => list(value, |element| {
                let number =
                    |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                match element.split_once(':') {
                    Some((partition, broker)) if number(partition) && number(broker) => Ok(()),
                    _ => Err("must be * or a list of replicas, each partition:broker".to_owned()),
                }
            }),
            Kind::Any => list(value, |_| Ok(())),
            Kind::Flag | Kind::Off => match value.to_ascii_lowercase().as_str() {
                "true" if matches!(self, Kind::Off) => Err("can only be false".to_owned()),
                flag @ ("true" | "false") => Ok(flag.to_owned()),
                _ => Err("must be true or false".to_owned()),
            },
        }
    }
}

fn whole(value: &str, least: i64, most: i64) -> Result<String, String> {
    match value.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
        Ok(_) => Err(format!("must be from {least} to {most}")),
        Err(_) => Err("must be a whole number".to_owned()),
    }
}

/// Elements are parted by commas; one that stands there again counts once.
fn list(value: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<String, String> {
    let (mut elements, mut seen) = (Vec::new(), BTreeSet::new());
    if !value.is_empty() {
        for element in value.split(',').map(str::trim) {
            check(element)?;
            if seen.insert(element) {
                elements.push(element);
            }
        }
    }
    Ok(elements.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_kafka_does() {
        let parse = |kind: Kind, value| kind.parse(value).unwrap();
        assert_eq!(parse(Kind::Long(-1), " +77 "), "77");
        assert_eq!(parse(Kind::IntOr(-1, 1, 9), " -1"), "-1");
        assert_eq!(parse(Kind::IntOr(-1, 1, 9), "+9"), "9");
        assert_eq!(parse(Kind::Ratio, "1"), "1.0");
        assert_eq!(parse(Kind::Flag, "TRUE"), "true");
        let policies = Kind::Words(&["delete"]);
        assert_eq!(parse(policies, " delete,delete "), "delete");
        assert_eq!(parse(policies, ""), "");
        assert_eq!(parse(Kind::Replicas, "0:1, 1:1"), "0:1,1:1");
        assert_eq!(parse(Kind::Replicas, "*"), "*");
    }

    #[test]
    fn what_a_kind_is_not_is_refused() {
        let policies = Kind::Words(&["delete"]);
        let refused = [
            (Kind::Int(0, 5), "6"),
            (Kind::IntOr(-1, 1, 9), "0"),
            (Kind::IntOr(-1, 1, 9), "10"),
            (Kind::Long(0), "1.5"),
            (Kind::Ratio, "NaN"),
            (policies, "delete,"),
            (Kind::Replicas, "0:x"),
            (Kind::Replicas, "zz"),
            (Kind::Flag, "yes"),
            (Kind::Off, "true"),
        ];
        for (kind, value) in refused {
            assert!(kind.parse(value).is_err(), "{kind:?} {value}");
        }
    }
}
