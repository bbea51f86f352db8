//! The table of the APIs: number, name, messages. Versions stand with the messages.

use std::fmt;

use crate::message::{Message, Request, Response, Versions};
use crate::messages::*;

/// The lowest version of Produce to advertise: librdkafka does not compress if it is more, although 0–2 are not served
/// (KAFKA-18659).
pub const PRODUCE_ADVERTISED_MIN_VERSION: i16 = 0;

/// Makes [`ApiKey`] of the table's rows.
macro_rules! api_table {
    ($($number:literal $name:ident $request:ident $response:ident;)*) => {
        /// An API of the protocol.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("See [`", stringify!($request), "`].")]
                $name = $number,
            )*
        }

        impl ApiKey {
            /// All APIs, by ascending number.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name),*];

            /// The API with this number.
            #[must_use]
            pub const fn from_number(number: i16) -> Option<ApiKey> {
                match number {
                    $($number => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The stable versions, which are those that this crate speaks.
            #[must_use]
            pub const fn versions(self) -> Versions {
                match self {
                    $(ApiKey::$name => $request::VERSIONS,)*
                }
            }

            /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
            const fn first_flexible(self) -> i16 {
                match self {
                    $(ApiKey::$name => $request::FIRST_FLEXIBLE,)*
                }
            }
        }

        $(
            impl Request for $request {
                const KEY: ApiKey = ApiKey::$name;
                type Response = $response;
            }

            impl Response for $response {
                const KEY: ApiKey = ApiKey::$name;
                type Request = $request;
            }

            const _: () = {
                let (request, response) = ($request::VERSIONS, $response::VERSIONS);
                assert!(request.min == response.min && request.max == response.max);
                assert!($request::FIRST_FLEXIBLE == $response::FIRST_FLEXIBLE);
            };
        )*

        /// Runs `$visitor` on each request type and its response type: for what must cover every API.
        #[cfg(any(test, feature = "introspect"))]
        pub(crate) fn visit_all(visitor: &mut dyn crate::introspect::Visitor) {
            $(crate::introspect::visit::<$request>(visitor);)*
        }
    };
}

api_table! {
    0 Produce ProduceRequest ProduceResponse;
    1 Fetch FetchRequest FetchResponse;
    2 ListOffsets ListOffsetsRequest ListOffsetsResponse;
    3 Metadata MetadataRequest MetadataResponse;
    18 ApiVersions ApiVersionsRequest ApiVersionsResponse;
    19 CreateTopics CreateTopicsRequest CreateTopicsResponse;
    20 DeleteTopics DeleteTopicsRequest DeleteTopicsResponse;
    22 InitProducerId InitProducerIdRequest InitProducerIdResponse;
    23 OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
}

impl ApiKey {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The versions to advertise if all of [`versions`](ApiKey::versions) are served.
    #[must_use]
    pub const fn advertised_versions(self) -> Versions {
        match self {
            ApiKey::Produce => Versions {
                min: PRODUCE_ADVERTISED_MIN_VERSION,
                ..self.versions()
            },
            _ => self.versions(),
        }
    }

    /// The version of the header before a request of `version`, which need not be supported.
    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        if version >= self.first_flexible() {
            2
        } else {
            1
        }
    }

    /// The version of the header before a response of `version`. Always 0 for ApiVersions: a client that asks does not
    /// know yet which versions the broker speaks.
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ApiVersions => 0,
            _ if version >= self.first_flexible() => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
