//! With what a side was measured: whoever has these can do it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Binary;
use crate::scenario::{Server, Side};

/// What stood at a side, and what was sent to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) mode: String,
    /// Empty where the mode has none.
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) param: String,
    /// Values that the parameter takes.
    pub(crate) count: u32,
    /// Calls a second; 0: as fast as they are answered.
    pub(crate) rate: u32,
    pub(crate) connections: u32,
    /// Those of them that send anything.
    pub(crate) active: u32,
    pub(crate) pipeline: u32,
    pub(crate) batch: u32,
    /// Processes of the load, and of the gateway.
    pub(crate) processes: u32,
    pub(crate) gateways: u32,
    /// Over which the connections are opened; 0: as fast as they are accepted.
    pub(crate) ramp_seconds: u32,
    pub(crate) warm_up_seconds: u32,
    /// Operation and connections of what was put on the server meanwhile.
    pub(crate) beside: Option<(String, u32)>,
    /// The CPUs that each may use, as Linux writes lists of them.
    pub(crate) server_cpus: String,
    pub(crate) load_cpus: String,
    /// The server's, as it ran.
    pub(crate) binary: Option<Binary>,
}

impl Settings {
    /// - `pid`: a process of the server's.
    pub(crate) fn of(side: &Side, gateways: u32, pid: Option<u32>) -> Self {
        let beside = side.beside.as_ref();
        Self {
            server: side.server,
            mode: side.mode.clone(),
            operation: side.operation.clone(),
            path: side.path.clone(),
            body: side.body.clone(),
            param: side.param.clone(),
            count: side.count,
            rate: side.rate,
            connections: side.connections,
            active: if side.active == 0 { side.connections } else { side.active },
            pipeline: side.pipeline,
            batch: side.batch,
            processes: side.processes,
            gateways: if side.server.is_gateway() { gateways } else { 1 },
            ramp_seconds: side.ramp,
            warm_up_seconds: side.warm_up,
            beside: beside.map(|beside| (beside.operation.clone(), beside.connections)),
            server_cpus: pid.and_then(crate::machine::cpus_of).unwrap_or_default(),
            load_cpus: crate::compare::LOAD_CPU.into(),
            binary: pid.and_then(Binary::of),
        }
    }
}

/// Variables of the environment that `serve.sh` and `setup.sh` take a server's settings from.
const VARIABLES: [&str; 3] = ["APPLY_BATCHES", "MIRROR", "STANDING_AFTER"];

/// Those that are set. An allocator's are read by the gateway's.
pub(crate) fn environment(
    variables: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let is_told = |name: &str| VARIABLES.contains(&name) || name.starts_with("MIMALLOC_");
    variables.filter(|(name, _)| is_told(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_tells_what_changes_a_server_and_no_secret() {
        let set = ["STANDING_AFTER", "GATEWAY_API_KEY", "MIMALLOC_VERBOSE", "HOME"];
        let told = environment(set.map(|name| (name.to_owned(), "1".to_owned())).into_iter());
        assert_eq!(told.keys().collect::<Vec<_>>(), ["MIMALLOC_VERBOSE", "STANDING_AFTER"]);
    }

    #[test]
    fn settings_of_a_side_have_what_its_file_says_and_what_its_process_is() {
        let text = "about: x\nsides: [{ name: a, about: b, server: gateway, mode: call, operation: o, connections: 8, rate: 5, ramp: 4, beside: { operation: slow, connections: 2 } }]";
        let scenario = crate::scenario::Scenario::parse(text).unwrap();
        let told = Settings::of(&scenario.sides[0], 3, Some(std::process::id()));
        let value = serde_json::to_value(&told).unwrap();
        for (key, expected) in [
            ("mode", serde_json::json!("call")),
            ("operation", serde_json::json!("o")),
            ("rate", serde_json::json!(5)),
            ("active", serde_json::json!(8)),
            ("batch", serde_json::json!(1)),
            ("pipeline", serde_json::json!(1)),
            ("connections", serde_json::json!(8)),
            ("count", serde_json::json!(10_000)),
            ("processes", serde_json::json!(1)),
            ("gateways", serde_json::json!(3)),
            ("ramp_seconds", serde_json::json!(4)),
            ("warm_up_seconds", serde_json::json!(1)),
            ("beside", serde_json::json!(["slow", 2])),
            ("load_cpus", serde_json::json!("1")),
        ] {
            assert_eq!(value[key], expected, "{key}");
        }
        assert!(!told.server_cpus.is_empty());
        assert_eq!(told.binary.unwrap().sha256.len(), 64);
    }
}
