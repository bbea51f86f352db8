//! ListGroups.

use crate::groups::{Group, Groups};
use crate::request::ListGroupsRequest;
use crate::response::ListedGroup;

impl Groups {
    /// ListGroups: all that pass both filters, by id.
    pub(crate) fn list(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let passes = |filter: &[String], word: &str| {
            filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(word))
        };
        let listed = self.groups.iter().filter_map(|(id, group)| {
            let (state, kind) = (group.state(), group.kind());
            let passes = passes(&request.states, state) && passes(&request.types, kind);
            passes.then(|| ListedGroup {
                group: id.clone(),
                protocol_type: group.protocol_type().to_owned(),
                state,
                kind,
            })
        });
        listed.collect()
    }
}

impl Group {
    /// Kafka's word for the protocol.
    fn kind(&self) -> &'static str {
        match self {
            Group::Classic(_) => "classic",
            Group::Consumer(_) => "consumer",
        }
    }

    /// Kafka's word for the state.
    fn state(&self) -> &'static str {
        match self {
            Group::Classic(group) => group.state().name(),
            Group::Consumer(group) => group.state(),
        }
    }

    fn protocol_type(&self) -> &str {
        match self {
            Group::Classic(group) => group.protocol_type().unwrap_or_default(),
            Group::Consumer(_) => crate::classic::CONSUMER_PROTOCOL_TYPE,
        }
    }
}
