//! A comparison as one HTML file that needs nothing else: the table, and plots of latency and of what is answered.

use std::fmt::{self, Write as _};

use crate::comparison::{AtRate, Comparison, SideOutcome, Spread};
use crate::failure::told;
use crate::outcome::Outcome;

/// Size of a plot, and of the room for its axes.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 46.0;
const TOP: f64 = 14.0;
const RIGHT: f64 = 16.0;

/// Distinguishable for most eyes (Okabe and Ito's palette).
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"];

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}\
small,.note{color:#666}svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#444}\
.grid{stroke:#e3e3e3}.axis{stroke:#888}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#333}small,.note{color:#999}svg text{fill:#bbb}.grid{stroke:#333}}";

/// What every page begins with.
const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">";

/// A logarithmic axis.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Around these figures, from a power of ten to another.
    fn around(figures: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for figure in figures.filter(|figure| *figure > 0.0) {
            (low, high) = (low.min(figure), high.max(figure));
        }
        if high <= 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        Self { low, high: high.max(low + 1.0), from, to }
    }

    fn at(self, figure: f64) -> f64 {
        let share = (figure.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Powers of ten.
    fn ticks(self) -> impl Iterator<Item = f64> {
        #[expect(clippy::cast_possible_truncation, reason = "a handful of powers of ten")]
        let (low, high) = (self.low as i32, self.high as i32);
        (low..=high).map(|power| 10_f64.powi(power))
    }
}

/// Writes what became of a scenario.
pub(crate) fn page(outcome: &Outcome) -> Result<String, fmt::Error> {
    match outcome {
        Outcome::Compared(comparison) => compared(comparison),
        Outcome::Failed { failed } => Ok(format!(
            "{HEAD}<title>{name}</title><style>{STYLE}</style><h1>{name}</h1><p>Not measured: {error}</p></html>\n",
            name = text(&failed.scenario),
            error = text(&failed.error),
        )),
    }
}

fn compared(comparison: &Comparison) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let machine = &comparison.machine;
    write!(
        out,
        "{HEAD}<title>{name}</title><style>{STYLE}</style><h1>{name}</h1><p>{about}</p>\
         <p class=\"note\">{cpus} x {cpu}, {memory} MiB, Linux {kernel}; {commit}; {rounds} rounds of {seconds} s; load average before {load:.2}</p>",
        name = text(&comparison.scenario),
        about = text(&comparison.about),
        cpus = machine.processor_count,
        cpu = text(&machine.processor),
        memory = machine.memory_mib,
        kernel = text(&machine.kernel),
        commit = machine.commit.as_ref().map_or_else(
            || "a binary whose commit is not known".to_owned(),
            |commit| format!("commit {}", text(commit)),
        ),
        rounds = comparison.rounds,
        seconds = comparison.seconds,
        load = machine.load_before,
    )?;
    table(&mut out, comparison)?;
    if comparison.sides.iter().any(|side| side.requests > 0) {
        out.push_str("<h2>Latency by percentile</h2><p class=\"note\">The round with the median rate, every connection as fast as it is answered.</p>");
        percentiles(&mut out, &comparison.sides)?;
    }
    if comparison.sides.iter().any(|side| !side.at_rates.is_empty()) {
        out.push_str("<h2>Latency by rate</h2><p class=\"note\">Requests at their own times, whether or not earlier ones are answered; latency counts from those times. Full line p99 with the range of its rounds, dashed p50, dotted p99.9.</p>");
        rates(&mut out, &comparison.sides)?;
        out.push_str("<h2>Answered by asked</h2><p class=\"note\">What was answered as hoped for, of what was asked. On the grey line everything is.</p>");
        answered(&mut out, &comparison.sides)?;
    }
    settings(&mut out, comparison)?;
    out.push_str("</html>\n");
    Ok(out)
}

fn table(out: &mut String, comparison: &Comparison) -> fmt::Result {
    out.push_str("<table><tr><th><th>requests/s<th>CPU &micro;s/request<th>p50 &micro;s<th>p99 &micro;s<th>p99.9 &micro;s<th>p99.99 &micro;s<th>bytes/connection<th>errors<th>CPU to the first</tr>");
    let base = comparison.sides.first().map(|side| side.name.as_str()).unwrap_or_default();
    for (side, colour) in comparison.sides.iter().zip(COLOURS.iter().cycle()) {
        let rate = side.requests_per_s;
        let cpu = side.cpu_us_per_request.map_or_else(String::new, |cpu| {
            format!("{:.2}<br><small>{:.2} to {:.2}</small>", cpu.median, cpu.minimum, cpu.maximum)
        });
        let ratio = side.ratio_to.get(base).and_then(|ratio| ratio.cpu_us_per_request);
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} &times;"));
        let bytes =
            side.bytes_per_connection.map_or_else(String::new, |it| format!("{:.0}", it.median));
        let mut errors = String::new();
        for (name, count) in &side.errors_by_code {
            write!(errors, "<br><small>{}</small>", text(&told(name, *count)))?;
        }
        write!(
            out,
            "<tr><td><span style=\"color:{colour}\">&#9632;</span> {}<br><small>{} connections, {} in flight</small>\
             <td>{:.0}<br><small>{:.0} to {:.0}</small><td>{cpu}<td>{:.0}<td>{:.0}<td>{:.0}<td>{:.0}<td>{bytes}<td>{}{errors}<td>{ratio}</tr>",
            text(&side.about),
            side.settings.connections,
            side.settings.pipeline,
            rate.median,
            rate.minimum,
            rate.maximum,
            side.p50_us.median,
            side.p99_us.median,
            side.p999_us.median,
            side.p9999_us.median,
            side.errors,
        )?;
    }
    out.push_str("</table>");
    for (name, reason) in &comparison.absent {
        write!(out, "<p class=\"note\">Not compared: {}: {}.</p>", text(name), text(reason))?;
    }
    Ok(())
}

/// Everything that a side was measured with, folded away.
fn settings(out: &mut String, comparison: &Comparison) -> fmt::Result {
    out.push_str("<details><summary>Settings</summary>");
    for (name, value) in &comparison.environment {
        write!(out, "<p><code>{}={}</code></p>", text(name), text(value))?;
    }
    for side in &comparison.sides {
        let settings = serde_json::to_string_pretty(&side.settings).unwrap_or_default();
        write!(out, "<h3>{}</h3><pre>{}</pre>", text(&side.about), text(&settings))?;
    }
    out.push_str("</details>");
    Ok(())
}

fn percentiles(out: &mut String, sides: &[SideOutcome]) -> fmt::Result {
    // So many nines: 50 % is at 2, 99.9 % at 1000.
    let rarity = |percent: f64| 100.0 / (100.0 - percent);
    let x = Axis { low: 0.0, high: 5.0, from: LEFT, to: WIDTH - RIGHT };
    let figures = sides.iter().flat_map(|side| side.percentiles_us.iter().map(|point| point.1));
    let y = Axis::around(figures, HEIGHT - BOTTOM, TOP);
    let ticks =
        [0.0, 90.0, 99.0, 99.9, 99.99, 99.999].map(|it| (x.at(rarity(it)), format!("{it} %")));
    begin(out, &ticks, y, "percentile")?;
    for (side, colour) in sides.iter().zip(COLOURS.iter().cycle()) {
        let points = side.percentiles_us.iter().map(|(at, us)| (x.at(rarity(*at)), y.at(*us)));
        line(out, points, colour, "")?;
    }
    out.push_str("</svg>");
    Ok(())
}

fn rates(out: &mut String, sides: &[SideOutcome]) -> fmt::Result {
    let all = || sides.iter().flat_map(|side| &side.at_rates);
    let most = all().map(|at| at.requests_per_s.maximum).fold(1.0, f64::max);
    let x = |rate: f64| LEFT + rate / most * (WIDTH - LEFT - RIGHT);
    let figures = all().flat_map(|at| [at.p50_us.minimum, at.p99_us.maximum, at.p999_us.median]);
    let y = Axis::around(figures, HEIGHT - BOTTOM, TOP);
    let ticks: Vec<_> = round_ticks(most).map(|rate| (x(rate), per_second(rate))).collect();
    begin(out, &ticks, y, "requests a second")?;
    for (side, colour) in sides.iter().zip(COLOURS.iter().cycle()) {
        let of = |figure: fn(&AtRate) -> Spread| {
            side.at_rates
                .iter()
                .map(move |at| (x(at.requests_per_s.median), y.at(figure(at).median)))
        };
        line(out, of(|at| at.p99_us), colour, "")?;
        line(out, of(|at| at.p50_us), colour, "6 4")?;
        line(out, of(|at| at.p999_us), colour, "2 3")?;
        for at in &side.at_rates {
            range(
                out,
                x(at.requests_per_s.median),
                (y.at(at.p99_us.minimum), y.at(at.p99_us.maximum)),
                colour,
            )?;
        }
    }
    out.push_str("</svg>");
    Ok(())
}

/// What was answered as hoped for, over what was asked: both linear, each with its own end.
fn answered(out: &mut String, sides: &[SideOutcome]) -> fmt::Result {
    let all = || sides.iter().flat_map(|side| &side.at_rates);
    let asked = all().map(|at| at.asked_per_s).fold(1.0, f64::max);
    let most = all().map(|at| at.good_per_s.maximum).fold(1.0, f64::max) * 1.05;
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let x = |rate: f64| LEFT + rate / asked * (right - LEFT);
    let y = |rate: f64| bottom - rate / most * (bottom - TOP);
    let y_ticks: Vec<_> = round_ticks(most).map(|rate| (y(rate), per_second(rate))).collect();
    let x_ticks: Vec<_> = round_ticks(asked).map(|rate| (x(rate), per_second(rate))).collect();
    frame(out, &x_ticks, &y_ticks, ("answered by asked", "asked, requests a second"))?;
    let end = asked.min(most);
    write!(
        out,
        "<line class=\"axis\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        x(0.0),
        y(0.0),
        x(end),
        y(end)
    )?;
    for (side, colour) in sides.iter().zip(COLOURS.iter().cycle()) {
        let points = side.at_rates.iter().map(|at| (x(at.asked_per_s), y(at.good_per_s.median)));
        line(out, points, colour, "")?;
        for at in &side.at_rates {
            range(
                out,
                x(at.asked_per_s),
                (y(at.good_per_s.minimum), y(at.good_per_s.maximum)),
                colour,
            )?;
        }
    }
    out.push_str("</svg>");
    Ok(())
}

/// Where a linear axis from 0 to `most` has ticks, five to eleven: at multiples of one, two or five times a power of ten.
fn round_ticks(most: f64) -> impl Iterator<Item = f64> {
    let power = 10_f64.powf((most / 10.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| most / step <= 10.0).unwrap_or(most);
    (0..).map(move |count| f64::from(count) * step).take_while(move |tick| *tick <= most)
}

fn per_second(rate: f64) -> String {
    if rate >= 10_000.0 { format!("{} k/s", rate / 1000.0) } else { format!("{rate}/s") }
}

/// From the lowest to the highest of the rounds.
fn range(out: &mut String, x: f64, (low, high): (f64, f64), colour: &str) -> fmt::Result {
    write!(
        out,
        "<line stroke=\"{colour}\" stroke-width=\"5\" stroke-opacity=\".35\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>"
    )
}

/// The frame of a plot of latencies.
fn begin(out: &mut String, x_ticks: &[(f64, String)], y: Axis, what: &str) -> fmt::Result {
    let label = |tick: f64| {
        if tick >= 1000.0 { format!("{} ms", tick / 1000.0) } else { format!("{tick} &micro;s") }
    };
    let y_ticks: Vec<_> = y.ticks().map(|tick| (y.at(tick), label(tick))).collect();
    frame(out, x_ticks, &y_ticks, (&format!("latency by {what}"), what))
}

/// The frame of a plot: grid, and what stands at the axes.
///
/// - `name`, `below`: what it is a plot of, and what stands under it.
fn frame(
    out: &mut String,
    x_ticks: &[(f64, String)],
    y_ticks: &[(f64, String)],
    (name, below): (&str, &str),
) -> fmt::Result {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    write!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{name}\">")?;
    for (at, label) in y_ticks {
        write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            at + 4.0
        )?;
    }
    for (at, label) in x_ticks {
        write!(
            out,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        )?;
    }
    write!(
        out,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{below}</text>",
        f64::midpoint(LEFT, WIDTH),
        HEIGHT - 8.0
    )
}

fn line(
    out: &mut String,
    points: impl Iterator<Item = (f64, f64)>,
    colour: &str,
    dashes: &str,
) -> fmt::Result {
    let mut list = String::new();
    for (x, y) in points {
        write!(list, "{x:.1},{y:.1} ")?;
    }
    write!(
        out,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\" points=\"{}\"/>",
        list.trim_end()
    )
}

/// As HTML has to have it.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_holds_what_it_is_around_and_what_is_larger_stays_at_its_end() {
        let axis = Axis::around([20.0, 4_000.0].into_iter(), 0.0, 300.0);
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [10.0, 100.0, 1_000.0, 10_000.0]);
        for (figure, place) in [(10.0, 0.0), (100.0, 100.0), (10_000.0, 300.0), (1e9, 300.0)] {
            assert!((axis.at(figure) - place).abs() < 1e-9, "{figure}");
        }
        let empty = Axis::around(std::iter::empty(), 0.0, 1.0);
        assert_eq!(empty.ticks().count(), 2);
    }

    #[test]
    fn ticks_of_a_linear_axis_are_round_and_few() {
        for (most, step, count) in [
            (1.0, 0.1, 11),
            (10.0, 1.0, 11),
            (160_362.0, 20_000.0, 9),
            (250_001.0, 50_000.0, 6),
            (1_000_000.0, 100_000.0, 11),
        ] {
            let ticks: Vec<f64> = round_ticks(most).collect();
            assert!((ticks[1] - step).abs() < step * 1e-9, "{most}: {ticks:?}");
            assert_eq!(ticks.len(), count, "{most}: {ticks:?}");
        }
        assert_eq!([0.0, 9_000.0, 20_000.0].map(per_second), ["0/s", "9000/s", "20 k/s"]);
    }

    #[test]
    fn text_of_a_file_is_no_markup() {
        assert_eq!(text("<b>&\"</b>"), "&lt;b>&amp;&quot;&lt;/b>");
    }

    #[test]
    fn page_has_every_figure_of_the_table_and_a_plot_of_each_kind() {
        let comparison = crate::comparison::tests::made_up();
        let page = page(&Outcome::Compared(Box::new(comparison))).unwrap();
        for part in [
            "<h1>made-up</h1>",
            "a &lt;side>",
            "12345",
            "3.25<br><small>3.00 to 3.50",
            "0.50 &times;",
            "<td>777<td>",
            "<td>1008<td>",
            "<br><small>7 calls without an answer in time</small>",
            "<br><small>5 answers with code 1301</small>",
            "aria-label=\"latency by percentile\"",
            "aria-label=\"latency by requests a second\"",
            "aria-label=\"answered by asked\"",
            "<code>STANDING_AFTER=500ms</code>",
            "Not compared: gin: it is not installed.",
            "</html>",
        ] {
            assert!(page.contains(part), "{part} is missing: {page}");
        }
        // Two sides: one line of percentiles each, three of latencies by rate, one of what is answered.
        assert_eq!(page.matches("<polyline").count(), 2 * (1 + 3 + 1));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
