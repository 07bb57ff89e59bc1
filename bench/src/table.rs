//! A comparison as text.

use std::fmt::{self, Write as _};

use crate::comparison::{Comparison, Spread};
use crate::failure::told;

impl Comparison {
    /// The table, for people.
    pub(crate) fn table(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        let base = self.sides.first();
        let head = [
            "",
            "requests/s",
            "CPU us/request",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "CPU to the first",
        ];
        let [name, rate, cpu, p50, p99, p999, ratio] = head;
        writeln!(out, "{name:<36} {rate:>24} {cpu:>22} {p50:>8} {p99:>8} {p999:>9}  {ratio}")?;
        for side in &self.sides {
            let of = |spread: Spread, digits: usize| {
                format!(
                    "{:.digits$} ({:.digits$}-{:.digits$})",
                    spread.median, spread.minimum, spread.maximum
                )
            };
            let cpu = side.cpu_us_per_request.map_or_else(String::new, |cpu| of(cpu, 2));
            let ratio = base.and_then(|base| side.ratio_to.get(&base.name)?.cpu_us_per_request);
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} x"));
            writeln!(
                out,
                "{:<36} {:>24} {cpu:>22} {:>8.0} {:>8.0} {:>9.0}  {ratio}",
                side.about,
                of(side.requests_per_s, 0),
                side.p50_us.median,
                side.p99_us.median,
                side.p999_us.median,
            )?;
            if let Some(bytes) = side.bytes_per_connection {
                writeln!(out, "{:<36} {:.0} bytes/connection", "", bytes.median)?;
            }
            for (code, count) in &side.errors_by_code {
                writeln!(out, "{:<36} {}", "", told(code, *count))?;
            }
            for at in &side.at_rates {
                let rate = if at.good_per_s.median < at.requests_per_s.median {
                    format!("{:.0}, good {:.0}", at.requests_per_s.median, at.good_per_s.median)
                } else {
                    format!("{:.0}", at.requests_per_s.median)
                };
                writeln!(
                    out,
                    "{:<36} {rate:>24} {:>22} {:>8.0} {:>8.0} {:>9.0}",
                    format!("  at {} of the peak", at.share_of_peak),
                    at.cpu_us_per_request.map_or_else(String::new, |cpu| of(cpu, 2)),
                    at.p50_us.median,
                    at.p99_us.median,
                    at.p999_us.median
                )?;
            }
        }
        for (name, reason) in &self.absent {
            writeln!(out, "{name:<36} not compared: {reason}")?;
        }
        Ok(out)
    }
}
