//! `gateway reconcile`: the rows of a game's database against those of its mirror.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use gateway_protocol::GameId;
use serde_json::{Value, json};

use super::config::refused;
use super::output::{Outcome, chain};
use crate::backend::switch::{
    ColumnDifference, DifferentRow, Group, OneSided, Reconcile, SwitchError, TableReport,
    Uncompared, by_rows, reconcile,
};
use crate::config::{Config, ConnectionConfig, Env};
use crate::server::CommandRuntime;

/// Exit status when rows differ.
const EXIT_DIFFERENT: u8 = 1;
/// Exit status when they could not be compared.
const EXIT_FAILED: u8 = 2;
/// Rows that a list for people has.
const SHOWN_MAX: usize = 20;

/// `gateway reconcile`.
#[derive(Args, Clone, Debug)]
pub(super) struct ReconcileArgs {
    /// The game.
    #[arg(value_parser = super::game)]
    game: GameId,
    /// The configuration file.
    #[arg(long, default_value = "config/gateway.yaml")]
    config: PathBuf,
    /// The connection to compare the game's database with; default: `games.GAME.mirror`.
    #[arg(long, value_name = "CONNECTION")]
    mirror: Option<Box<str>>,
    /// Tables, with commas between; default: those that are copied, and before `switch mirror` all but the gateway's own.
    #[arg(long, value_delimiter = ',')]
    tables: Vec<Box<str>>,
    /// Only rows whose key's first column is this or more.
    #[arg(long)]
    from: Option<Box<str>>,
    /// Only rows whose key's first column is this or less.
    #[arg(long)]
    to: Option<Box<str>>,
    /// Rows whose checksum is compared at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    chunk: u16,
    /// Make the rows that differ alike, in this one direction.
    #[arg(long, value_parser = ["owner-to-mirror"])]
    repair: Option<String>,
    /// Most rows that are repaired.
    #[arg(long, default_value_t = 10_000, requires = "repair")]
    repair_max: u64,
    /// Show the values that differ. They may be personal data.
    #[arg(long)]
    show_values: bool,
    /// `text` for people, `json` for programs.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Does what the command line says.
pub(super) fn run(args: &ReconcileArgs) -> Outcome {
    let config = match Config::load(&args.config, &Env::process()) {
        Ok((config, _)) => config,
        Err(faults) => return refused(&args.config, &faults),
    };
    compare(args, &config)
        .unwrap_or_else(|text| Outcome::failed(EXIT_FAILED, format!("gateway reconcile: {text}\n")))
}

fn compare(args: &ReconcileArgs, config: &Config) -> Result<Outcome, String> {
    let runtime = CommandRuntime::new().map_err(|error| error.to_string())?;
    let (owner, mirror) = sides(args, config)?;
    let (owner, mirror) = directed(args, (owner, mirror), &runtime)?;
    let plan = Reconcile {
        owner,
        mirror,
        group: args.game.as_str().into(),
        tables: args.tables.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        chunk: args.chunk.into(),
        repair_max: args.repair.as_ref().map(|_| args.repair_max),
        with_values: args.show_values,
    };
    let mut reports = Vec::new();
    let done = runtime.block_on(reconcile(&plan, |report| reports.push(report)));
    let uncompared = done.map_err(|error| chain(&error))?;
    let found = Found { reports, uncompared };
    let stdout = match args.format.as_str() {
        "json" => format!("{:#}\n", found.for_programs()),
        _ => found.for_people(owner, mirror),
    };
    let status = if found.divergence_count() == 0 { 0 } else { EXIT_DIFFERENT };
    Ok(Outcome { stdout, stderr: String::new(), status })
}

/// The game's database and what it is compared with.
fn sides<'c>(
    args: &ReconcileArgs,
    config: &'c Config,
) -> Result<(&'c ConnectionConfig, &'c ConnectionConfig), String> {
    let game = config.games.iter().find(|game| game.id == args.game);
    let game = game.ok_or_else(|| format!("there is no game `{}`", args.game))?;
    let mirror = args.mirror.as_ref().or(game.mirror.as_ref()).ok_or_else(|| {
        format!("game `{0}` has no mirror: set `games.{0}.mirror`, or use --mirror", args.game)
    })?;
    let named = |name: &str| {
        let found = config.database.connection(name);
        found.ok_or_else(|| format!("there is no connection `{name}`"))
    };
    Ok((named(&game.database)?, named(mirror)?))
}

/// Both in the places that their own rows give them: after a flip the owner is the other one.
fn directed<'c>(
    args: &'c ReconcileArgs,
    (owner, mirror): (&'c ConnectionConfig, &'c ConnectionConfig),
    runtime: &CommandRuntime,
) -> Result<(&'c ConnectionConfig, &'c ConnectionConfig), String> {
    let group = Group { id: args.game.as_str(), owner, mirror };
    match runtime.block_on(by_rows(group)) {
        Ok(group) => Ok((group.owner, group.mirror)),
        // Two databases that the gateway knows nothing of can be compared, but not changed by mistake.
        Err(SwitchError::Refused(_)) if args.repair.is_none() => Ok((owner, mirror)),
        Err(error) => Err(chain(&error)),
    }
}

/// What a comparison found.
struct Found {
    reports: Vec<TableReport>,
    uncompared: Uncompared,
}

impl Found {
    fn divergence_count(&self) -> u64 {
        let rows: u64 = self.reports.iter().map(TableReport::divergence_count).sum();
        rows + self.uncompared.one_sided.len() as u64
    }

    fn for_people(&self, owner: &ConnectionConfig, mirror: &ConnectionConfig) -> String {
        let Self { reports, uncompared } = self;
        let mut text = format!(
            "{} ({}) against {} ({})\n",
            owner.name, owner.dialect, mirror.name, mirror.dialect
        );
        for report in reports {
            // Writing to a string does not fail.
            let _written = table_for_people(&mut text, report);
        }
        for OneSided { table, connection } in &uncompared.one_sided {
            let lacking = if *connection == owner.name { mirror } else { owner };
            let (name, other) = (&lacking.name, connection);
            let _written = writeln!(
                text,
                "{table}: only `{other}` has it: make it on `{name}` (`gateway migrate`), or drop it, or name the \
                 other tables with --tables"
            );
        }
        if !uncompared.left_out.is_empty() {
            let names = uncompared.left_out.join(", ");
            let _written = writeln!(text, "note: not copied, and not compared: {names}");
        }
        let rows: u64 = reports.iter().map(|report| report.row_count).sum();
        let repaired: u64 = reports.iter().map(|report| report.repaired_count).sum();
        let _written = writeln!(
            text,
            "{} tables, {rows} rows compared, {} divergences, {repaired} repaired",
            reports.len(),
            self.divergence_count()
        );
        text
    }

    fn for_programs(&self) -> Value {
        let tables: Vec<Value> = self.reports.iter().map(table_for_programs).collect();
        let one_sided = self.uncompared.one_sided.iter();
        let one_sided =
            one_sided.map(|one| json!({ "table": one.table, "only_on": one.connection }));
        json!({
            "divergences": self.divergence_count(),
            "tables": tables,
            "one_sided_tables": one_sided.collect::<Vec<_>>(),
            "left_out_tables": self.uncompared.left_out,
        })
    }
}

fn table_for_people(text: &mut String, report: &TableReport) -> std::fmt::Result {
    writeln!(
        text,
        "{}: {} rows, {} missing, {} extra, {} different, {} pending; {} of {} chunks differed",
        report.table,
        report.row_count,
        report.missing_count,
        report.extra_count,
        report.different_count,
        report.pending_count,
        report.differing_chunk_count,
        report.chunk_count
    )?;
    for remark in &report.remarks {
        writeln!(text, "  note: {remark}")?;
    }
    for (what, keys) in [("missing", &report.missing), ("extra", &report.extra)] {
        for key in keys.iter().take(SHOWN_MAX) {
            writeln!(text, "  {what} {key}")?;
        }
    }
    for row in report.different.iter().take(SHOWN_MAX) {
        writeln!(text, "  different {}: {}", row.key, columns(row))?;
    }
    for row in report.refused.iter().take(SHOWN_MAX) {
        writeln!(text, "  refused by the mirror {}: {}", row.key, row.fault)?;
    }
    let shown = |count: u64| count.saturating_sub(SHOWN_MAX as u64);
    let more = shown(report.missing_count)
        + shown(report.extra_count)
        + shown(report.different_count)
        + shown(report.refused_count);
    if more > 0 {
        writeln!(text, "  and {more} more (--format json lists 1000 of each kind)")?;
    }
    Ok(())
}

fn columns(row: &DifferentRow) -> String {
    let one = |difference: &ColumnDifference| match &difference.values {
        Some([owner, mirror]) => format!("{} ({owner} against {mirror})", difference.column),
        None => difference.column.to_string(),
    };
    row.columns.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn table_for_programs(report: &TableReport) -> Value {
    let different = report.different.iter().map(|row| {
        let columns = row.columns.iter().map(|one| match &one.values {
            Some([owner, mirror]) => {
                json!({ "column": one.column, "owner": owner, "mirror": mirror })
            }
            None => json!({ "column": one.column }),
        });
        json!({ "key": row.key, "columns": columns.collect::<Vec<_>>() })
    });
    let refused = report.refused.iter();
    let refused = refused.map(|row| json!({ "key": row.key, "fault": row.fault }));
    json!({
        "table": report.table,
        "rows": report.row_count,
        "chunks": report.chunk_count,
        "differing_chunks": report.differing_chunk_count,
        "missing_count": report.missing_count,
        "extra_count": report.extra_count,
        "different_count": report.different_count,
        "pending_count": report.pending_count,
        "repaired_count": report.repaired_count,
        "refused_count": report.refused_count,
        "missing": report.missing,
        "extra": report.extra,
        "different": different.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "remarks": report.remarks,
    })
}
