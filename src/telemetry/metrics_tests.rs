//! Names, kinds and numbers, as whoever scrapes reads them.

use super::*;
use crate::telemetry::store_gauges::{Amounts, Conversion, Disk, StoreFigures};

fn stock() -> StoreGauges {
    let pair = |calling_code: &str, sender: &str, waits: [u64; 3]| Conversion {
        calling_code: calling_code.to_owned(),
        sender: sender.to_owned(),
        messages: 9,
        undelivered: 1,
        confirmed: waits.iter().sum(),
        waits: waits.to_vec(),
        waited: Duration::from_millis(1_500),
    };
    let told = StoreFigures {
        oldest: vec![("outbox", Duration::from_secs(90)), ("parked", Duration::ZERO)],
        on_hold: vec![("AC1".to_owned(), Duration::from_mins(1))],
        conversion: vec![
            pair("49", "*2661", [1, 2, 0]),
            pair("49", "ACME", [0, 1, 1]),
            pair("1", "*2661", [0, 0, 0]),
        ],
        evictable: 8,
        wait_bounds: &[5, 60],
    };
    let amounts = Amounts {
        messages: vec![("pending", 1), ("reported", 2)],
        parked: 4,
        parked_used: 0.5,
        orphaned: 7,
        outbox: 5,
        links: 6,
        queued: 3,
    };
    let disk = Some(Disk { used: 1_024, free: 4_096 });
    StoreGauges { amounts, clock_jump: -7, told: Some(told), disk }
}

#[test]
fn everything_shows_under_its_name_and_total_only_once() {
    let metrics = Metrics::new();
    metrics.started(1_700_000_000, true, 1_000);
    metrics.http_requests("/twilio/message", 200, Duration::from_millis(3));
    metrics.refusals("signature_mismatch");
    metrics.signature_failures("signature_mismatch", "/twilio/status");
    metrics.connections_shut("overdue", 2);
    metrics.evidence("reply", "confirmed");
    metrics.upstream_attempt("done", Duration::from_millis(300));
    metrics.upstream_mismatch();
    metrics.set_lane("AC1", "paused", 4, 1);
    metrics.key_matched("/app/events", "AC1", "token 1", 1_700_000_000);
    metrics.key_matched("/app/events", "AC1", "token 2", 1_700_000_001);
    metrics.forget_key(&["/", "/app/events"], "AC1", "token 2");
    metrics.config_reload("done");
    metrics.commit(7, Duration::from_millis(3), Duration::from_millis(2));
    metrics.set_stock(StoreGauges::default());
    metrics.set_stock(stock());
    let text = metrics.render();
    for line in [
        concat!("heardback_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "heardback_start_timestamp_seconds 1700000000",
        "heardback_dry_run 1",
        "heardback_messages_limit 1000",
        "heardback_http_requests_total{route=\"/twilio/message\",status=\"200\"} 1",
        "heardback_http_request_seconds_bucket{le=\"0.005\",route=\"/twilio/message\"} 1",
        "heardback_refusals_total{reason=\"signature_mismatch\"} 1",
        "heardback_signature_failures_total{reason=\"signature_mismatch\"} 1",
        "heardback_connections_shut_total{reason=\"overdue\"} 2",
        "heardback_evidence_total{kind=\"reply\",outcome=\"confirmed\"} 1",
        "heardback_messages{state=\"pending\"} 1",
        "heardback_messages{state=\"reported\"} 2",
        "heardback_parked 4",
        "heardback_orphaned 7",
        "heardback_parked_used_ratio 0.5",
        "heardback_messages_evictable 8",
        "heardback_clock_jump_seconds -7",
        "heardback_outbox 5",
        "heardback_links 6",
        "heardback_oldest_seconds{what=\"outbox\"} 90.0",
        "heardback_oldest_seconds{what=\"parked\"} 0.0",
        "heardback_lane_on_hold_seconds{account=\"AC1\"} 60.0",
        "heardback_store_up 1",
        "heardback_store_bytes 1024",
        "heardback_store_free_bytes 4096",
        "heardback_conversion_messages_total{calling_code=\"49\",sender=\"ACME\"} 9",
        "heardback_conversion_undelivered_total{calling_code=\"49\",sender=\"ACME\"} 1",
        "heardback_conversion_confirmed_total{calling_code=\"49\",sender=\"*2661\"} 3",
        "heardback_conversion_confirmed_total{calling_code=\"1\",sender=\"*2661\"} 0",
        "heardback_time_to_confirm_seconds_bucket{le=\"5.0\",calling_code=\"49\"} 1",
        "heardback_time_to_confirm_seconds_bucket{le=\"60.0\",calling_code=\"49\"} 4",
        "heardback_time_to_confirm_seconds_bucket{le=\"+Inf\",calling_code=\"49\"} 5",
        "heardback_time_to_confirm_seconds_count{calling_code=\"49\"} 5",
        "heardback_time_to_confirm_seconds_sum{calling_code=\"49\"} 3.0",
        "heardback_upstream_attempts_total{result=\"done\"} 1",
        "heardback_upstream_attempt_seconds_bucket{le=\"0.5\"} 1",
        "heardback_upstream_mismatch_total 1",
        "heardback_lane_paused{account=\"AC1\"} 1",
        "heardback_lane_state{account=\"AC1\",state=\"paused\"} 1",
        "heardback_lane_state{account=\"AC1\",state=\"open\"} 0",
        "heardback_lane_limit{account=\"AC1\"} 4",
        "heardback_lane_in_flight{account=\"AC1\"} 1",
        "heardback_key_last_matched_timestamp_seconds\
         {route=\"/app/events\",account=\"AC1\",key=\"token 1\"} 1700000000",
        "heardback_config_reloads_total{result=\"done\"} 1",
        "heardback_config_reloads_total{result=\"refused\"} 0",
        "heardback_store_commits_total 1",
        "heardback_store_commit_seconds_count 1",
        "heardback_store_commit_entries_sum 7.0",
        "heardback_store_sync_seconds_bucket{le=\"0.0025\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("token 2"), "{text}");
    assert!(!text.contains("_total_total") && !text.contains("_seconds_seconds"), "{text}");
    assert!(!text.contains("_bytes_bytes"), "{text}");
}

#[test]
fn a_store_that_does_not_answer_is_told_as_that_and_by_no_old_numbers() {
    let metrics = Metrics::new();
    metrics.set_stock(stock());
    metrics.set_stock(StoreGauges { told: None, disk: None, ..stock() });
    let text = metrics.render();
    assert!(text.contains("\nheardback_store_up 0\n"), "{text}");
    assert!(text.contains("\nheardback_outbox 5\n"), "counts are in memory\n{text}");
    for gone in ["oldest", "lane_on_hold", "conversion", "time_to_confirm", "store_bytes"] {
        assert!(!text.contains(&format!("heardback_{gone}")), "{gone}\n{text}");
    }
}
