//! How many files a process may have open: the limit raised as far as it may be, and what a load wants told beside it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::scenario::{Scenario, Side};

/// Files of a load process that are no connections: standard streams, the ring, `/proc`.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one, which any process may; what is started from here inherits it.
///
/// Returns the limit from now on; `None`: there is none.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where even that is forbidden, the soft limit is what there is.
    if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current }
}

/// Files that one load process opens.
///
/// - `paced`: connections with a timer of their own, which is a file, held twice.
pub(crate) const fn wanted(connections: u64, paced: u64) -> u64 {
    connections + 2 * paced + OTHERS
}

/// # Errors
///
/// A load process wants more files than `limit`.
pub(crate) fn ensure(wanted: u64, limit: Option<u64>) -> anyhow::Result<()> {
    let limit = limit.unwrap_or(u64::MAX);
    anyhow::ensure!(
        wanted <= limit,
        "{wanted} open files are wanted in one process, and the hard limit is {limit} (ulimit -Hn): fewer connections, or more processes",
    );
    Ok(())
}

/// # Errors
///
/// A side wants more connections of one process, of the load's or of the gateway's, than `limit` lets it have.
pub(crate) fn ensure_for(scenario: &Scenario, limit: Option<u64>) -> anyhow::Result<()> {
    for side in &scenario.sides {
        let Side { name, processes, .. } = side;
        let connections = u64::from(side.connections / processes);
        let is_paced = side.rate > 0 || !scenario.rates_of_peak.is_empty();
        let active = if side.active == 0 { side.connections } else { side.active };
        let paced = if is_paced { u64::from(active / processes) } else { 0 };
        ensure(wanted(connections, paced), limit)
            .map_err(|error| error.context(format!("{name}: the load")))?;
        if side.server.is_gateway() {
            let connections = u64::from(side.connections.div_ceil(scenario.gateways));
            ensure(wanted(connections, 0), limit)
                .map_err(|error| error.context(format!("{name}: the gateway")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_is_the_hard_one_after_it_was_raised() {
        let raised = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((now.current, now.maximum), (raised, raised));
    }

    #[test]
    fn scenario_at_the_limit_passes_and_one_connection_more_is_told_with_its_side_and_the_limit() {
        let check = |connections: u32, limit| {
            let text = format!(
                "about: x\nsides: [{{ name: many, about: b, server: echo, mode: idle, processes: 2, connections: {connections} }}]"
            );
            let scenario = Scenario::parse(&text).unwrap();
            ensure_for(&scenario, limit).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(check(2000, Some(1064)), Ok(()));
        assert_eq!(check(2_000_000, None), Ok(()));
        let told = check(2002, Some(1064)).unwrap_err();
        for part in ["many", "the load", "1065", "1064"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn gateway_that_would_hold_more_than_the_limit_is_told_even_where_the_load_is_spread() {
        let side =
            "name: many, about: b, server: gateway, mode: idle, processes: 10, connections: 10000";
        let check = |gateways: u32| {
            let text = format!("about: x\ngateways: {gateways}\nsides: [{{ {side} }}]");
            ensure_for(&Scenario::parse(&text).unwrap(), Some(1064))
        };
        assert!(check(10).is_ok());
        assert!(format!("{:#}", check(9).unwrap_err()).contains("the gateway"));
    }
}
