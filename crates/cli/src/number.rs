//! Numbers as arguments: what is legal is said where something else is given.

use std::fmt::Display;
use std::str::FromStr;

/// Takes whole numbers from `least` to `most`.
pub fn within<T>(
    least: T,
    most: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let number = text.trim().parse::<T>().ok();
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("a whole number from {least} to {most} is wanted"))
    }
}

/// Takes any whole number.
pub fn any(text: &str) -> Result<i64, String> {
    text.trim()
        .parse()
        .map_err(|_| "a whole number is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_legal_is_said() {
        let partition = within(0, i32::MAX);
        assert_eq!(partition("0"), Ok(0));
        assert_eq!(partition("2147483647"), Ok(i32::MAX));
        for wrong in ["-1", "2147483648", "99999999999999999999", "x", "", "1.5"] {
            let told = "a whole number from 0 to 2147483647 is wanted";
            assert_eq!(partition(wrong), Err(told.to_owned()), "{wrong}");
        }
        assert_eq!(any("-5"), Ok(-5));
        assert!(any("five").is_err());
    }
}
