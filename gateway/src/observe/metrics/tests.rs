//! Counting on several threads, rendering, and the bounds.

use super::*;

/// The value of a sample, by its whole name with labels.
#[track_caller]
fn value<'p>(page: &'p str, sample: &str) -> &'p str {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{page}"))
}

#[test]
fn threads_that_record_side_by_side_sum_up_exactly() {
    let metrics = Metrics::new();
    let get = metrics.operation_index("game1", "player.get");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let recorder = metrics.recorder();
            scope.spawn(move || {
                for number in 0..10_000_u64 {
                    let category = Category::of(if number % 10 == 0 { 2101 } else { 0 });
                    let outcome =
                        if number % 2 == 0 { CacheOutcome::L1 } else { CacheOutcome::Miss };
                    recorder.request(get, category, Duration::from_micros(8), outcome);
                }
            });
        }
    });
    let page = metrics.render();
    let request = |category: &str| {
        let labels = format!("game=\"game1\",operation=\"player.get\",category=\"{category}\"");
        value(&page, &format!("gateway_requests_total{{{labels}}}"))
    };
    assert_eq!((request("ok"), request("business")), ("18000", "2000"));
    let labels = "game=\"game1\",operation=\"player.get\"";
    let name = "gateway_request_duration_seconds";
    assert_eq!(value(&page, &format!("{name}_bucket{{{labels},le=\"0.000005\"}}")), "0");
    assert_eq!(value(&page, &format!("{name}_bucket{{{labels},le=\"0.00001\"}}")), "20000");
    assert_eq!(value(&page, &format!("{name}_bucket{{{labels},le=\"+Inf\"}}")), "20000");
    assert_eq!(value(&page, &format!("{name}_count{{{labels}}}")), "20000");
    assert_eq!(value(&page, &format!("{name}_sum{{{labels}}}")), "0.16");
    let lookups = format!("gateway_cache_lookups_total{{{labels},outcome=\"l1\"}}");
    assert_eq!(value(&page, &lookups), "10000");
}

/// Scrapes run beside a writer: what they read never goes down.
#[test]
fn scrape_while_a_thread_records_never_reads_a_smaller_count() {
    let metrics = Metrics::new();
    let index = metrics.operation_index("g", "o");
    let recorder = metrics.recorder();
    recorder.request(index, Category::Ok, Duration::ZERO, CacheOutcome::L1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..20_000 {
                recorder.request(index, Category::Ok, Duration::ZERO, CacheOutcome::L1);
            }
        });
        let mut last = 0;
        for _ in 0..20 {
            let name = "gateway_request_duration_seconds_count{game=\"g\",operation=\"o\"}";
            let now: u64 = value(&metrics.render(), name).parse().expect("a whole number");
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    });
}

#[test]
fn operation_of_a_reload_keeps_its_index_and_its_counts() {
    let metrics = Metrics::new();
    let first = metrics.operation_index("game1", "a.b");
    assert_ne!(metrics.operation_index("game2", "a.b"), first);
    assert_eq!(metrics.operation_index("game1", "a.b"), first);
}

#[test]
fn operations_at_the_bound_have_their_own_index_and_one_more_is_other() {
    let metrics = Metrics::new();
    for number in 2..OPERATION_COUNT_MAX {
        let index = metrics.operation_index("g", &format!("o{number}"));
        assert_eq!(index, OpIndex(u32::try_from(number).unwrap()));
    }
    assert_eq!(metrics.operation_index("g", "one.more"), OpIndex::OTHER);
    let recorder = metrics.recorder();
    recorder.request(OpIndex::OTHER, Category::Ok, Duration::ZERO, CacheOutcome::Bypass);
    recorder.request(OpIndex::NONE, Category::Route, Duration::ZERO, CacheOutcome::Bypass);
    let page = metrics.render();
    let other = "gateway_requests_total{game=\"other\",operation=\"other\",category=\"ok\"}";
    let none = "gateway_requests_total{game=\"none\",operation=\"none\",category=\"route\"}";
    assert_eq!((value(&page, other), value(&page, none)), ("1", "1"));
}

#[test]
fn counts_of_a_thread_that_ended_stay_and_its_table_is_used_again() {
    let metrics = Metrics::new();
    for _ in 0..3 {
        let recorder = metrics.recorder();
        recorder.connection_opened(Transport::Tcp);
        recorder.connection_closed(Transport::Tcp);
        recorder.panicked();
    }
    assert_eq!(lock(&metrics.0.threads).len(), 1);
    let (first, second) = (metrics.recorder(), metrics.recorder());
    assert_eq!(lock(&metrics.0.threads).len(), 2);
    first.connection_opened(Transport::Tcp);
    second.connection_opened(Transport::Tcp);
    second.connection_refused(Transport::Tcp);
    for _ in 0..2 {
        first.connection_parked(Transport::Tcp);
    }
    first.connection_resumed(Transport::Tcp);
    let counts = metrics.connections(Transport::Tcp);
    assert_eq!(counts, ConnectionCounts { accepted: 5, refused: 1, open: 2, parked: 1 });
    assert_eq!(value(&metrics.render(), "gateway_panics_total"), "3");
}

#[test]
fn blocks_of_two_operations_share_no_cache_line() {
    assert_eq!(align_of::<recorder::OperationBlock>(), 128);
    assert_eq!(size_of::<recorder::OperationBlock>() % 128, 0);
}

#[test]
fn request_after_the_unsampled_ones_is_sampled_and_none_of_them() {
    let recorder = Metrics::new().recorder();
    for _ in 0..200 {
        let unsampled = recorder.unsampled_next();
        for _ in 0..unsampled {
            assert!(!recorder.samples_stages());
        }
        assert_eq!(recorder.unsampled_next(), 0);
        assert!(recorder.samples_stages());
    }
}

#[test]
fn label_values_are_escaped_so_that_a_sample_stays_one_line() {
    let metrics = Metrics::new();
    metrics.gauge("gateway_test_bytes", "A test.", &[("pool", "a\"b\\c\nd")], || 7_u64);
    assert_eq!(value(&metrics.render(), "gateway_test_bytes{pool=\"a\\\"b\\\\c\\nd\"}"), "7");
}

#[test]
fn closures_are_asked_at_each_scrape_and_replaced_under_the_same_labels() {
    let metrics = Metrics::new();
    let (count, open) = (Counter::default(), Gauge::default());
    let (read_count, read_open) = (count.clone(), open.clone());
    metrics.counter("gateway_test_total", "A test.", &[], move || read_count.read());
    metrics.gauge("gateway_test_open", "A test.", &[("pool", "a")], || 1_u64);
    metrics.gauge("gateway_test_open", "A test.", &[("pool", "a")], move || read_open.read());
    count.add(2);
    open.add(3);
    open.add(-1);
    let page = metrics.render();
    assert_eq!(value(&page, "gateway_test_total"), "2");
    assert_eq!(value(&page, "gateway_test_open{pool=\"a\"}"), "2");
    assert_eq!(page.matches("# TYPE gateway_test_open gauge").count(), 1);
    count.add(1);
    assert_eq!(value(&metrics.render(), "gateway_test_total"), "3");
}

#[test]
fn family_gives_its_samples_as_they_are_when_asked() {
    let metrics = Metrics::new();
    metrics.family("gateway_pool_connections", "A test.", Kind::Gauge, |samples| {
        for (pool, open) in [("game1", Number::from(3_usize)), ("game2", f64::INFINITY.into())] {
            samples.add(&[("pool", pool), ("state", "open")], open);
        }
    });
    let page = metrics.render();
    assert_eq!(value(&page, "gateway_pool_connections{pool=\"game1\",state=\"open\"}"), "3");
    assert!(page.contains("gateway_pool_connections{pool=\"game2\",state=\"open\"} +Inf\n"));
}

/// The grammar of the format, as far as our page uses it.
#[test]
fn every_line_is_a_comment_or_a_sample_of_the_family_above_it() {
    let metrics = Metrics::new();
    let recorder = metrics.recorder();
    recorder.request(OpIndex::NONE, Category::Ok, Duration::from_secs(30), CacheOutcome::L2);
    recorder.stage(Stage::Bind, Duration::from_micros(3));
    metrics.stage(Stage::Database, Duration::from_millis(3));
    let page = metrics.render();
    assert!(page.ends_with('\n'));
    let mut family = "";
    let mut seen = std::collections::HashSet::new();
    for line in page.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().unwrap();
            assert!(seen.insert(family), "{family} twice");
            let kind = head.split(' ').nth(1).unwrap();
            assert_eq!(kind == "counter", family.ends_with("_total"), "{head}");
        } else if !line.starts_with("# HELP ") {
            let name = line.split(['{', ' ']).next().unwrap();
            let own = name
                .strip_prefix(family)
                .is_some_and(|suffix| ["", "_bucket", "_sum", "_count"].contains(&suffix));
            assert!(own && name.starts_with("gateway_"), "{line} under {family}");
            let number = line.rsplit(' ').next().unwrap();
            assert!(number == "+Inf" || number.parse::<f64>().is_ok(), "{line}");
        }
    }
    for stage in ["bind", "database"] {
        let name = format!("gateway_stage_duration_seconds_count{{stage=\"{stage}\"}}");
        assert_eq!(value(&page, &name), "1");
    }
}

#[test]
fn stages_are_sampled_once_in_64_requests_beginning_with_the_first() {
    let recorder = Metrics::new().recorder();
    let sampled: Vec<bool> = (0..129).map(|_| recorder.samples_stages()).collect();
    let picked: Vec<usize> = (0..129).filter(|number| sampled[*number]).collect();
    assert_eq!(picked, [0, 64, 128]);
}

#[test]
fn process_metrics_tell_memory_threads_and_files() {
    let page = Metrics::new().render();
    let number = |name: &str| value(&page, name).parse::<u64>().expect("a whole number");
    assert!(number("gateway_process_resident_bytes") > 1_000_000);
    assert!(number("gateway_process_threads") >= 1);
    assert!(number("gateway_process_open_files") >= 3);
    assert!(number("gateway_process_open_files_max") >= number("gateway_process_open_files"));
    let name = format!("gateway_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&page, &name), "1");
    assert!(page.contains("gateway_events_total{event=\"redis_down\"} "));
}
