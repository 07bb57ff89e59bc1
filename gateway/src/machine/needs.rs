//! What a configuration needs of the machine.

use super::Named;
use crate::config::Config;

/// Files besides connections: listeners, rings, logs, templates, the journal's segments, Redis.
const OTHER_FILES: usize = 256;

/// The values that a configuration wants in place of a profile's.
pub fn needs(config: &Config) -> Vec<Named> {
    let clients = config.server.tcp.connection_count_max + config.server.http.connection_count_max;
    let pools = config.database.connections.iter().map(|connection| connection.open_count_max);
    let connections = clients + pools.sum::<u32>() as usize;
    let addresses = [config.server.tcp.address, config.server.http.address, config.admin.address];
    let ports = addresses.map(|address| address.port()).into_iter().filter(|port| *port != 0);
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    vec![
        ("limit.nofile", (connections + OTHER_FILES).to_string()),
        ("net.netfilter.nf_conntrack_max", connections.to_string()),
        ("net.ipv4.ip_local_reserved_ports", ports.join(",")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;
    use crate::machine::checks;

    #[test]
    fn configuration_needs_a_file_for_each_connection_that_it_allows() {
        let text = "server: {tcp: {address: \":9001\", max_connections: 1000}, http: {address: \":0\", max_connections: 200}}\n\
                    admin: {address: \"127.0.0.1:9003\"}\n\
                    database: {default: sqlite, connections: {a: {path: a.db, max_open_conns: 30}}}\n\
                    games: {g: {database: a}}\ntemplates: t\n";
        let folder = tempfile::tempdir().unwrap();
        let (config, _) = Config::parse(text, folder.path(), &Env::process()).unwrap();
        let needed = needs(&config);
        let values = ["1486", "1230", "9001,9003"];
        assert_eq!(needed.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), values);
        for (id, _) in needed {
            assert!(checks().iter().any(|check| check.id == id), "{id}");
        }
    }
}
