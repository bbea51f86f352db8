//! Derives a Kafka message's encoder and decoder from its declaration.
//!
//! A message is a plain struct whose fields stand in wire order, and read like Kafka's schema:
//!
//! ```ignore
//! #[derive(Message, Clone, Debug, PartialEq)]
//! #[message(versions = "1-9", flexible = "6+")]   // only on a message; a struct within one has no such line
//! pub struct ExampleRequest {
//!     pub replica_id: i32,                         // in every version
//!     #[field(versions = "3+", default = -1, ignorable)]
//!     pub epoch: i32,
//!     #[field(versions = "2+", nullable = "4+")]   // null may be sent from version 4 on
//!     pub rack: Option<Str>,
//!     #[field(versions = "7+", tag = 0, default = null)]
//!     pub cluster_id: Option<Str>,
//! }
//! ```
//!
//! - `versions`: where the field exists (default: everywhere). Written as Kafka writes them: `"3"`, `"3-5"`, `"3+"`.
//! - `nullable`: where an `Option` may be null (default: wherever the field exists).
//! - `default`: the value of an absent field: a literal or `null` (default: zero, false, empty, not null).
//! - `ignorable`: a value that the version cannot carry is dropped; without it, that is an error.
//! - `tag`: the field is tagged (KIP-482) in the versions where it exists, and left out while it holds its default.
//! - `flexible = "none"`: lengths keep the classic encoding in flexible versions too (the request header's client id).
//!
//! The derive also writes `Default`, with the schema's defaults.

mod declaration;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Writes the codec and the `Default` of a message, or of a struct within one. See the crate's documentation.
#[proc_macro_derive(Message, attributes(message, field))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    declaration::Declaration::parse(&input)
        .map(|declaration| expand::expand(&declaration))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
