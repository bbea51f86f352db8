//! `wiber config`: settings of topics and brokers, and of a broker that is to be started.

mod check;

use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::json;
use wiber_client::{ClientError, Cluster};
use wiber_protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult,
};
use wiber_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use wiber_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use wiber_protocol::{ErrorCode, Str};

use crate::connect::{self, Connect};
use crate::failure::Failure;
use crate::output::{Output, Table, line, object};
use crate::topic;

/// Kafka's numbers of the kinds of things that have settings (`ConfigResource.Type`).
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Kafka's number of where a default comes from (`ConfigSource.DEFAULT_CONFIG`).
const SOURCE_DEFAULT: i8 = 5;
/// Kafka's numbers of what may be done to a setting (`AlterConfigOp.OpType`).
const OP_SET: i8 = 0;
const OP_DELETE: i8 = 1;
const OP_APPEND: i8 = 2;
const OP_SUBTRACT: i8 = 3;

/// Shows and changes settings of topics and brokers, and checks those of a broker that is to be started.
#[derive(Subcommand)]
pub enum Command {
    Check(check::Arguments),
    Describe(Describe),
    Alter(Alter),
}

/// Shows the settings of a topic or of brokers: those that are not the default, or --all.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber config describe topic chat
  wiber config describe broker --all
  wiber config describe broker 1 --output json
  wiber config describe broker default  # what was set for all brokers")]
pub struct Describe {
    #[command(subcommand)]
    of: Of,
}

/// Changes settings.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber config alter topic chat --set retention.ms=86400000 --set segment.bytes=1048576
  wiber config alter topic chat --delete retention.ms
  wiber config alter topic chat --subtract cleanup.policy=delete  # keeps its records for ever
  wiber config alter broker default --set log.retention.ms=86400000")]
pub struct Alter {
    #[command(subcommand)]
    of: AlterOf,
}

#[derive(Subcommand)]
enum Of {
    /// Of a topic.
    Topic {
        /// The topic.
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Of a broker, or of each.
    Broker {
        /// The broker's id, or `default` for what was set for all brokers [default: every broker].
        #[arg(allow_negative_numbers = true, value_parser = broker)]
        id: Option<Resource>,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Args)]
struct How {
    /// Shows the settings that have their default too.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Subcommand)]
enum AlterOf {
    /// Of a topic.
    Topic {
        /// The topic.
        name: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// Of a broker.
    Broker {
        /// The broker's id, or `default` for what holds for all brokers.
        #[arg(allow_negative_numbers = true, value_parser = broker)]
        id: Resource,
        #[command(flatten)]
        changes: Changes,
    },
}

#[derive(Args)]
struct Changes {
    /// Gives a setting a value; may be given several times, as the next three.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,
    /// Takes a setting back to its default.
    #[arg(long, value_name = "KEY")]
    delete: Vec<String>,
    /// Adds to a setting that is a list.
    #[arg(long, value_name = "KEY=VALUE")]
    append: Vec<Setting>,
    /// Takes from a setting that is a list.
    #[arg(long, value_name = "KEY=VALUE")]
    subtract: Vec<Setting>,
    /// Only checks whether it could be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// A setting with its value, `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Its value, which may be empty.
    pub value: String,
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Setting, &'static str> {
        let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
        if key.trim().is_empty() {
            return Err("KEY=VALUE is wanted, and the key may not be empty");
        }
        Ok(Setting {
            key: key.trim().to_owned(),
            value: value.to_owned(),
        })
    }
}

/// What to do to a setting.
#[derive(Clone, Debug)]
pub enum Change {
    /// Gives it a value.
    Set(Setting),
    /// Takes it back to its default.
    Delete(String),
    /// Adds to a list.
    Append(Setting),
    /// Takes from a list.
    Subtract(Setting),
}

/// What has settings.
#[derive(Clone, Debug)]
pub struct Resource {
    kind: i8,
    name: String,
}

impl Resource {
    /// A topic.
    pub fn topic(name: &str) -> Resource {
        Resource {
            kind: TOPIC,
            name: name.to_owned(),
        }
    }

    fn broker(id: &str) -> Resource {
        Resource {
            kind: BROKER,
            name: id.to_owned(),
        }
    }

    /// The broker that must be asked, if it cannot be any.
    fn asked_of(&self) -> Option<i32> {
        (self.kind == BROKER)
            .then(|| self.name.parse().ok())
            .flatten()
    }

    fn failed(&self, error: &ClientError) -> Failure {
        match self.kind {
            TOPIC => Failure::of_topic(&self.name, error),
            _ => Failure::Failed(format!("{}: {error}", self.title())),
        }
    }

    fn title(&self) -> String {
        match (self.kind, self.name.as_str()) {
            (TOPIC, name) => format!("topic {name}"),
            (_, "") => "all brokers".to_owned(),
            (_, id) => format!("broker {id}"),
        }
    }

    fn kind(&self) -> &'static str {
        if self.kind == TOPIC {
            "topic"
        } else {
            "broker"
        }
    }
}

/// A broker by its id, or all of them, which have no name in Kafka.
fn broker(text: &str) -> Result<Resource, String> {
    let text = text.trim();
    if text == "default" {
        return Ok(Resource::broker(""));
    }
    match text.parse::<i32>() {
        Ok(id) if id >= 0 => Ok(Resource::broker(&id.to_string())),
        _ => Err("a broker's id, from 0 on, or default is wanted".to_owned()),
    }
}

/// A setting as a broker describes it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its value; none if it has none, or the broker keeps it secret.
    pub value: Option<String>,
    source: i8,
    read_only: bool,
    sensitive: bool,
}

impl Described {
    fn from_answer(it: &DescribeConfigsResourceResult) -> Described {
        Described {
            name: it.name.to_string(),
            value: it.value.as_ref().map(ToString::to_string),
            source: it.config_source,
            read_only: it.read_only,
            sensitive: it.is_sensitive,
        }
    }

    /// Whether nobody chose the value.
    pub fn is_default(&self) -> bool {
        self.source == SOURCE_DEFAULT
    }

    /// The value for people.
    pub fn shown_value(&self) -> String {
        match &self.value {
            Some(value) => value.clone(),
            None if self.sensitive => "(secret)".to_owned(),
            None => "(none)".to_owned(),
        }
    }

    /// Where the value comes from (`ConfigEntry.ConfigSource`).
    fn source(&self) -> &'static str {
        match self.source {
            1 => "topic",
            2 => "broker, dynamic",
            3 => "all brokers, dynamic",
            4 => "broker, at start",
            5 => "default",
            6 => "broker, logger",
            7 => "client metrics",
            8 => "group",
            _ => "unknown",
        }
    }
}

/// Runs the command.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Describe(arguments) => connect::run(show(arguments.of)),
        Command::Alter(arguments) => connect::run(change(arguments.of)),
    }
}

async fn show(of: Of) -> Result<(), Failure> {
    let (resource, how) = match of {
        Of::Topic { name, how } => (Some(Resource::topic(&name)), how),
        Of::Broker { id, how } => (id, how),
    };
    let cluster = how.connect.cluster().await?;
    let resources = match resource {
        Some(resource) => vec![resource],
        None => {
            let brokers = cluster.brokers();
            brokers
                .iter()
                .map(|(id, _)| Resource::broker(&id.to_string()))
                .collect()
        }
    };
    let described = describe(&cluster, &resources).await?;
    for (resource, mut settings) in resources.iter().zip(described) {
        settings.retain(|it| how.all || !it.is_default());
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        if how.output.is_json() {
            for it in &settings {
                object(&json!({
                    "resource": resource.kind(), "name": resource.name, "key": it.name, "value": it.value,
                    "source": it.source(), "default": it.is_default(), "read_only": it.read_only, "sensitive": it.sensitive,
                }))?;
            }
            continue;
        }
        if settings.is_empty() {
            line(&match (resource.kind(), resource.name.as_str()) {
                ("broker", "") => "nothing is set for all brokers".to_owned(),
                _ => format!(
                    "{} has its defaults in everything; --all shows them",
                    resource.title()
                ),
            })?;
            continue;
        }
        if resources.len() > 1 {
            line(&format!("{}:", resource.title()))?;
        }
        let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
        for it in &settings {
            table.row([it.name.clone(), it.shown_value(), it.source().to_owned()]);
        }
        table.print("")?;
    }
    Ok(())
}

/// The settings of each resource, in their order.
///
/// # Errors
/// What a broker says of one of them.
pub async fn describe(
    cluster: &Cluster,
    resources: &[Resource],
) -> Result<Vec<Vec<Described>>, Failure> {
    let mut described = Vec::with_capacity(resources.len());
    // Brokers know their own settings; everybody knows those of topics, so these are asked for together.
    let (topics, brokers): (Vec<_>, Vec<_>) =
        resources.iter().partition(|it| it.asked_of().is_none());
    for asked in [topics]
        .into_iter()
        .chain(brokers.into_iter().map(|it| vec![it]))
    {
        let Some(first) = asked.first() else { continue };
        let connection = match first.asked_of() {
            Some(id) => cluster.broker(id).await?,
            None => cluster.any().await?,
        };
        let request = DescribeConfigsRequest {
            resources: asked
                .iter()
                .map(|it| DescribeConfigsResource {
                    resource_type: it.kind,
                    resource_name: Str::from(it.name.as_str()),
                    configuration_keys: None,
                })
                .collect(),
            ..Default::default()
        };
        let answer = connection.call(&request).await?;
        for resource in asked {
            let result = answer.results.iter().find(|it| {
                it.resource_type == resource.kind && it.resource_name == resource.name.as_str()
            });
            let code = result.map_or(ErrorCode::UnknownServerError.code(), |it| it.error_code);
            let message = result.and_then(|it| it.error_message.as_deref());
            ClientError::check(code, message).map_err(|error| resource.failed(&error))?;
            let configs = result.map(|it| it.configs.as_slice()).unwrap_or_default();
            described.push(configs.iter().map(Described::from_answer).collect());
        }
    }
    Ok(described)
}

async fn change(of: AlterOf) -> Result<(), Failure> {
    let (resource, given) = match of {
        AlterOf::Topic { name, changes } => (Resource::topic(&name), changes),
        AlterOf::Broker { id, changes } => (id, changes),
    };
    let changes: Vec<_> = given
        .set
        .into_iter()
        .map(Change::Set)
        .chain(given.delete.into_iter().map(Change::Delete))
        .chain(given.append.into_iter().map(Change::Append))
        .chain(given.subtract.into_iter().map(Change::Subtract))
        .collect();
    if changes.is_empty() {
        return Err(Failure::Usage(
            "nothing to change: give --set KEY=VALUE or --delete KEY".to_owned(),
        ));
    }
    let cluster = given.connect.cluster().await?;
    if let Err(error) = alter(&cluster, &resource, &changes, given.dry_run).await {
        if given.output.is_json() {
            let code = error.code().map(|code| code.to_string());
            object(&json!({
                "resource": resource.kind(), "name": resource.name, "altered": false,
                "dry_run": given.dry_run, "error": code, "message": topic::message(&error),
            }))?;
        }
        return Err(resource.failed(&error));
    }
    if given.output.is_json() {
        object(&json!({
            "resource": resource.kind(), "name": resource.name, "altered": !given.dry_run,
            "dry_run": given.dry_run,
        }))
    } else if given.dry_run {
        line(&format!("{}: could be altered", resource.title()))
    } else {
        line(&format!("{}: altered", resource.title()))
    }
}

/// Changes settings, all of them or none.
///
/// # Errors
/// What the broker says.
pub async fn alter(
    cluster: &Cluster,
    resource: &Resource,
    changes: &[Change],
    validate_only: bool,
) -> Result<(), ClientError> {
    let configs = changes.iter().map(|change| {
        let (key, op, value) = match change {
            Change::Set(it) => (&it.key, OP_SET, Some(&it.value)),
            Change::Delete(key) => (key, OP_DELETE, None),
            Change::Append(it) => (&it.key, OP_APPEND, Some(&it.value)),
            Change::Subtract(it) => (&it.key, OP_SUBTRACT, Some(&it.value)),
        };
        AlterableConfig {
            name: Str::from(key.as_str()),
            config_operation: op,
            value: value.map(|value| Str::from(value.as_str())),
        }
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: resource.kind,
            resource_name: Str::from(resource.name.as_str()),
            configs: configs.collect(),
        }],
        validate_only,
    };
    let answer = match resource.asked_of() {
        Some(id) => cluster.broker(id).await?.call(&request).await?,
        None => {
            cluster
                .ask_controller(&request, |answer| {
                    answer.responses.first().map_or(0, |it| it.error_code)
                })
                .await?
        }
    };
    for result in &answer.responses {
        ClientError::check(result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_key_and_may_have_an_empty_value() {
        let read = |text: &str| text.parse::<Setting>().map(|it| (it.key, it.value));
        let told = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(read("a=b"), told("a", "b"));
        assert_eq!(read("a=b=c"), told("a", "b=c"));
        assert_eq!(read("a="), told("a", ""));
        assert!(read("a").is_err());
        assert!(read("=b").is_err());
    }
}
