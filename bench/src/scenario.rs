//! What is compared: a file of `bench/scenarios`, a name, a load, and the servers that it is put on.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// A scenario, as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it shows, for the report.
    pub(crate) about: String,
    /// What is compared, in the order of the table. The first is what the others are measured against.
    pub(crate) sides: Vec<Side>,
    /// Shares of each side's own peak at which it is measured once more, each call at its own time.
    #[serde(default)]
    pub(crate) rates_of_peak: Vec<f64>,
    /// Processes of the gateway that share its ports.
    #[serde(default = "one")]
    pub(crate) gateways: u32,
    /// Whether `all` leaves it out: it takes more of the machine than others do.
    #[serde(default)]
    pub(crate) by_name_only: bool,
}

/// One server, and what is sent to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Side {
    /// Its name in the table and in the JSON; one word.
    pub(crate) name: String,
    /// What that is, for the report.
    pub(crate) about: String,
    /// Which server.
    pub(crate) server: Server,
    /// `--mode` of `gateway-bench load`.
    pub(crate) mode: String,
    #[serde(default = "default_connections")]
    pub(crate) connections: u32,
    #[serde(default = "default_pipeline")]
    pub(crate) pipeline: u32,
    /// The operation of `call`, and the parameter that varies.
    #[serde(default)]
    pub(crate) operation: String,
    #[serde(default = "default_param")]
    pub(crate) param: String,
    /// The path of `http`, the key of `redis`.
    #[serde(default)]
    pub(crate) path: String,
    /// The body of `http`, which is a POST then (`--body` of `gateway-bench load`).
    #[serde(default)]
    pub(crate) body: String,
    /// Whether `http` sends a token.
    #[serde(default)]
    pub(crate) token: bool,
    /// How many rows or keys are asked for, from 1 on.
    #[serde(default = "default_count")]
    pub(crate) count: u32,
    /// How many of the connections send anything; 0: all.
    #[serde(default)]
    pub(crate) active: u32,
    /// Calls in each frame.
    #[serde(default = "one")]
    pub(crate) batch: u32,
    /// Processes that the connections are spread over, each with an address of its own.
    #[serde(default = "one")]
    pub(crate) processes: u32,
    /// Calls a second, each at its own time; 0: as fast as they are answered.
    #[serde(default)]
    pub(crate) rate: u32,
    /// Seconds over which the connections are opened, evenly; 0: as fast as they are accepted.
    #[serde(default)]
    pub(crate) ramp: u32,
    /// Seconds between the last connection and what counts. Memory is looked at when they are over.
    #[serde(default = "one")]
    pub(crate) warm_up: u32,
    /// What is put on the same server meanwhile, and not measured.
    #[serde(default)]
    pub(crate) beside: Option<Beside>,
}

/// Load that is not measured: an operation, as fast as it is answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beside {
    pub(crate) operation: String,
    pub(crate) connections: u32,
}

const fn one() -> u32 {
    1
}

const fn default_connections() -> u32 {
    64
}

const fn default_pipeline() -> u32 {
    1
}

fn default_param() -> String {
    "player_id".into()
}

const fn default_count() -> u32 {
    10_000
}

/// What can be compared.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Server {
    /// `gateway-bench echo`.
    Echo,
    /// The gateway over TCP.
    Gateway,
    /// The gateway over HTTP.
    GatewayHttp,
    /// Redis.
    Redis,
    /// nginx with an answer from its configuration.
    Nginx,
    /// axum, sqlx and moka: `PEER_AXUM`.
    Axum,
    /// gin and bigcache: `PEER_GO`.
    Gin,
    /// fasthttp and bigcache: `PEER_GO`.
    Fasthttp,
}

impl Server {
    const ALL: [(&str, Self); 8] = [
        ("echo", Self::Echo),
        ("gateway", Self::Gateway),
        ("gatewayhttp", Self::GatewayHttp),
        ("redis", Self::Redis),
        ("nginx", Self::Nginx),
        ("axum", Self::Axum),
        ("gin", Self::Gin),
        ("fasthttp", Self::Fasthttp),
    ];

    /// Whether its processes are as many as the scenario says.
    pub(crate) const fn is_gateway(self) -> bool {
        matches!(self, Self::Gateway | Self::GatewayHttp)
    }

    /// As `serve.sh` and the files have it.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, server)| *server == self).map_or("", |(name, _)| name)
    }

    /// The server of a name.
    pub(crate) fn of(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.iter().find(|(own, _)| *own == name);
        found.map(|(_, server)| *server).with_context(|| format!("no server is called {name}"))
    }
}

impl Scenario {
    /// Reads `bench/scenarios/NAME.yaml`.
    pub(crate) fn read(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let path = folder.join(format!("{name}.yaml"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let scenario = Self::parse(&text).with_context(|| path.display().to_string())?;
        Ok(scenario)
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = serde_yaml_ng::from_str(text)?;
        anyhow::ensure!(!scenario.sides.is_empty(), "no sides");
        for (at, side) in scenario.sides.iter().enumerate() {
            let is_twice = scenario.sides.iter().skip(at + 1).any(|other| other.name == side.name);
            anyhow::ensure!(!is_twice, "two sides are called {}", side.name);
            let counts = [side.connections, side.pipeline, side.batch, side.processes];
            anyhow::ensure!(!counts.contains(&0), "{}: a count of 0", side.name);
            anyhow::ensure!(side.active <= side.connections, "{}: more are active", side.name);
            let is_even =
                side.connections % side.processes == 0 && side.active % side.processes == 0;
            anyhow::ensure!(is_even, "{}: processes share connections evenly", side.name);
        }
        for share in &scenario.rates_of_peak {
            anyhow::ensure!(
                (0.01..=10.0).contains(share),
                "rates_of_peak: {share} is not 0.01 to 10"
            );
        }
        anyhow::ensure!((1..=64).contains(&scenario.gateways), "gateways: not 1 to 64");
        Ok(scenario)
    }

    /// The names of all files of a folder but for those that are compared only when they are named.
    pub(crate) fn all(folder: &Path) -> anyhow::Result<Vec<String>> {
        let mut names = Self::names(folder)?;
        // One that cannot be read stays: whoever compares it tells why.
        names.retain(|name| Self::read(folder, name).map_or(true, |it| !it.by_name_only));
        Ok(names)
    }

    /// The names of all files of a folder.
    fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml")
                && let Some(stem) = path.file_stem()
            {
                names.push(stem.to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_folder_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let names = Scenario::names(&folder).unwrap();
        assert!(names.contains(&"cached-read".to_owned()), "{names:?}");
        for name in names {
            Scenario::read(&folder, &name).unwrap();
        }
    }

    #[test]
    fn all_scenarios_are_those_that_need_not_be_named_and_those_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let side = "sides: [{ name: a, about: b, server: echo, mode: echo }]";
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("usual.yaml", &format!("about: x\n{side}"));
        write("large.yaml", &format!("about: x\nby_name_only: true\n{side}"));
        write("odd.yaml", "about: x");
        write("read.me", "");
        assert_eq!(Scenario::all(folder.path()).unwrap(), ["odd", "usual"]);
    }

    #[test]
    fn unknown_key_two_sides_of_one_name_and_a_share_out_of_range_are_refused() {
        let side = "{ name: a, about: b, server: echo, mode: echo }";
        assert!(Scenario::parse(&format!("about: x\nsides: [{side}]")).is_ok());
        for (text, fault) in [
            (format!("about: x\nsides: [{side}]\nround: 3"), "unknown field"),
            (format!("about: x\nsides: [{side}, {side}]"), "two sides"),
            ("about: x\nsides: []".to_owned(), "no sides"),
            (format!("about: x\nsides: [{side}]\nrates_of_peak: [10.5]"), "rates_of_peak"),
            (format!("about: x\nsides: [{side}]\ngateways: 65"), "gateways"),
        ] {
            let error = format!("{:#}", Scenario::parse(&text).unwrap_err());
            assert!(error.contains(fault), "{error}");
        }
    }
}
