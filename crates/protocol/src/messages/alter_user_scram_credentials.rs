//! AlterUserScramCredentials (key 51).

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Changes users' SCRAM credentials.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AlterUserScramCredentialsRequest {
    /// The credentials to remove.
    pub deletions: Vec<ScramCredentialDeletion>,
    /// The credentials to add or replace.
    pub upsertions: Vec<ScramCredentialUpsertion>,
}

/// An element of [`AlterUserScramCredentialsRequest::deletions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ScramCredentialDeletion {
    /// The user.
    pub name: Str,
    /// The SCRAM mechanism: 1 SHA-256, 2 SHA-512.
    pub mechanism: i8,
}

/// An element of [`AlterUserScramCredentialsRequest::upsertions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ScramCredentialUpsertion {
    /// The user.
    pub name: Str,
    /// The SCRAM mechanism: 1 SHA-256, 2 SHA-512.
    pub mechanism: i8,
    /// The number of iterations.
    pub iterations: i32,
    /// The salt.
    pub salt: Bytes,
    /// The salted password.
    pub salted_password: Bytes,
}

/// Answers [`AlterUserScramCredentialsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AlterUserScramCredentialsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcomes.
    pub results: Vec<AlterUserScramCredentialsResult>,
}

/// An element of [`AlterUserScramCredentialsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterUserScramCredentialsResult {
    /// The user.
    pub user: Str,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
