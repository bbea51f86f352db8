//! DescribeUserScramCredentials (key 50).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes users' SCRAM credentials, without their secrets.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeUserScramCredentialsRequest {
    /// The users; all if null or empty.
    pub users: Option<Vec<UserName>>,
}

/// An element of [`DescribeUserScramCredentialsRequest::users`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct UserName {
    /// The user.
    pub name: Str,
}

/// Answers [`DescribeUserScramCredentialsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeUserScramCredentialsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The outcome for each user.
    pub results: Vec<DescribeUserScramCredentialsResult>,
}

/// An element of [`DescribeUserScramCredentialsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeUserScramCredentialsResult {
    /// The user.
    pub user: Str,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The user's credentials.
    pub credential_infos: Vec<CredentialInfo>,
}

/// An element of [`DescribeUserScramCredentialsResult::credential_infos`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CredentialInfo {
    /// The SCRAM mechanism: 1 SHA-256, 2 SHA-512.
    pub mechanism: i8,
    /// The number of iterations.
    pub iterations: i32,
}
