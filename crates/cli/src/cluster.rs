//! `wiber cluster`: the brokers.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, json};
use wiber_client::{ClientError, Cluster, Connection};
use wiber_protocol::messages::DescribeClusterRequest;
use wiber_protocol::{ApiKey, Str};

use crate::connect::{self, Connect};
use crate::failure::Failure;
use crate::output::{Output, Table, line, object};

/// Shows the brokers of the cluster.
#[derive(Subcommand)]
pub enum Command {
    Describe(Describe),
}

/// Shows the cluster's id, its controller, its brokers and their racks, and its features.
#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// Runs the command.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Describe(arguments) => connect::run(describe(arguments)),
    }
}

struct Described {
    cluster_id: Option<String>,
    controller: Option<i32>,
    brokers: Vec<Broker>,
}

struct Broker {
    id: i32,
    host: String,
    port: i32,
    rack: Option<String>,
}

impl Broker {
    fn new(id: i32, host: &str, port: i32, rack: Option<Str>) -> Broker {
        Broker {
            id,
            host: host.to_owned(),
            port,
            rack: rack.map(Into::into),
        }
    }
}

async fn describe(arguments: Describe) -> Result<(), Failure> {
    let cluster = arguments.connect.cluster().await?;
    let connection = cluster.any().await?;
    let mut described = ask(&cluster, &connection).await?;
    described.brokers.sort_by_key(|it| it.id);
    let features = connection.features();
    if arguments.output.is_json() {
        let brokers: Vec<_> = described
            .brokers
            .iter()
            .map(|it| json!({"id": it.id, "host": it.host, "port": it.port, "rack": it.rack}))
            .collect();
        let features: Map<_, _> = features
            .iter()
            .map(|it| (it.name.to_string(), json!(it.max_version_level)))
            .collect();
        return object(&json!({
            "cluster_id": described.cluster_id, "controller": described.controller, "brokers": brokers,
            "features": features,
        }));
    }
    line(&format!(
        "Cluster {}, controller {}",
        described.cluster_id.as_deref().unwrap_or("without an id"),
        described
            .controller
            .map_or("unknown".to_owned(), |it| it.to_string())
    ))?;
    let mut table = Table::new(&["#BROKER", "ADDRESS", "RACK"]);
    for it in &described.brokers {
        table.row([
            it.id.to_string(),
            format!("{}:{}", it.host, it.port),
            it.rack.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.print("  ")?;
    if !features.is_empty() {
        let features: Vec<_> = features
            .iter()
            .map(|it| format!("{}={}", it.name, it.max_version_level))
            .collect();
        line(&format!("  Features: {}", features.join(", ")))?;
    }
    Ok(())
}

/// Asks as brokers of today are asked, or as those before KIP-700.
async fn ask(cluster: &Cluster, connection: &Connection) -> Result<Described, ClientError> {
    if !connection.serves(ApiKey::DescribeCluster) {
        let answer = cluster.metadata(Some(&[]), false).await?;
        let brokers = answer.brokers.into_iter();
        let brokers = brokers.map(|it| Broker::new(it.node_id, &it.host, it.port, it.rack));
        return Ok(Described {
            cluster_id: answer.cluster_id.map(Into::into),
            controller: Some(answer.controller_id).filter(|id| *id >= 0),
            brokers: brokers.collect(),
        });
    }
    let answer = connection.call(&DescribeClusterRequest::default()).await?;
    ClientError::check(answer.error_code, answer.error_message.as_deref())?;
    let brokers = answer.brokers.into_iter();
    let brokers = brokers.map(|it| Broker::new(it.broker_id, &it.host, it.port, it.rack));
    Ok(Described {
        cluster_id: Some(answer.cluster_id.into()),
        controller: Some(answer.controller_id).filter(|id| *id >= 0),
        brokers: brokers.collect(),
    })
}
