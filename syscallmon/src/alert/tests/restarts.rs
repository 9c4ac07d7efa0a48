use super::*;

/// Delivery after it was written and read, this long after it was taken.
fn restarted(delivery: &LastingDelivery, after: Duration) -> LastingDelivery {
    let (now, node, mut restarted) = (Instant::now(), "node-1".into(), LastingDelivery::default());
    for part in delivery.saved(now) {
        let json = serde_json::to_string(&part).unwrap();
        restarted.add(serde_json::from_str(&json).unwrap(), &node, now.checked_sub(after).unwrap()).unwrap();
    }
    restarted
}

/// Alerts for this server alone, as an Alertmanager.
fn to_alertmanager(server: &Server, resolve_after: Duration) -> AlertConfig {
    let url = server.uri("/").to_string().parse().unwrap();
    let alertmanager = Alertmanagers { urls: vec![url], resolve_after, ..nowhere().alertmanager };
    AlertConfig { alertmanager, ..nowhere() }
}

fn bodies(server: &Server) -> Vec<serde_json::Value> {
    server.requests().iter().map(|received| serde_json::from_str(&received.body).unwrap()).collect()
}

#[tokio::test]
async fn after_a_restart_nothing_is_sent_twice_nothing_is_lost_and_ends_follow() {
    let before = Server::start([Answer::Status(200, ""), Answer::Status(500, "")]).await;
    let running = Running::start(&AlertConfig { webhook: Some(webhook(&before.uri("/hook"))), ..nowhere() });
    running.notify(violation("sent", "mount"), true);
    wait_until("delivery", || running.sink().sent == 1).await;
    running.notify(violation("waiting", "bpf"), true);
    wait_until("a failure", || running.sink().failed >= 1).await;
    let lasting = restarted(&running.alerts.lasting(), Duration::from_secs(1));
    running.end().await;

    let after = Server::start([Answer::Status(200, "")]).await;
    let config = AlertConfig { webhook: Some(webhook(&after.uri("/hook"))), ..nowhere() };
    let running = Running::start_after(&config, lasting);
    wait_until("what waited", || running.sink().sent == 1).await;
    for _ in 0..3 {
        running.notify(violation("sent", "mount"), false);
        running.notify(violation("waiting", "bpf"), false);
    }
    let IncidentNotice { incident, .. } = notice(violation("sent", "mount"), false);
    let resolved = Incident { state: IncidentState::Resolved, ..(*incident).clone() };
    running.alerts.notify(IncidentNotice { incident: resolved.into(), news: Vec::new() });
    wait_until("the end", || running.sink().sent == 2).await;
    let sent: Vec<_> =
        bodies(&after).iter().map(|body| (body["state"].clone(), body["calls"][0]["syscall"].clone())).collect();
    assert_eq!(sent, [("new".into(), "bpf".into()), ("resolved".into(), "mount".into())]);
    assert!(running.alerts.lasting().sinks.iter().all(lasting::LastingSink::is_empty), "all is settled");
    running.end().await;
}

#[tokio::test]
async fn after_a_restart_an_alertmanager_is_told_of_its_alerts_at_once_and_of_their_end() {
    let server = Server::start([Answer::Status(200, "")]).await;
    let config = to_alertmanager(&server, Duration::from_secs(2));
    let running = Running::start(&config);
    running.notify(violation("web", "mount"), true);
    wait_until("delivery", || running.sink().sent == 1).await;
    let lasting = running.alerts.lasting();
    running.end().await;
    let running = Running::start_after(&config, restarted(&lasting, Duration::from_millis(500)));
    wait_until("the alert again", || server.requests().len() >= 2).await;
    let bodies_so_far = bodies(&server);
    let [first, again] = [0, 1].map(|at| &bodies_so_far[at][0]);
    assert_eq!((&first["labels"], &first["startsAt"]), (&again["labels"], &again["startsAt"]), "the same alert");
    assert_eq!(running.sink().sent, 0, "it is not a new one");
    wait_until("the end", || running.sink().sent == 1).await;
    let last = bodies(&server).pop().unwrap();
    let ends_at: SystemTime = humantime::parse_rfc3339(last[0]["endsAt"].as_str().unwrap()).unwrap();
    assert!(ends_at <= SystemTime::now() && last[0]["labels"] == first["labels"], "{last}");
    running.end().await;
}

#[tokio::test]
async fn an_alert_that_was_quiet_for_long_while_no_daemon_ran_ends_after_the_restart() {
    let server = Server::start([Answer::Status(200, "")]).await;
    let config = to_alertmanager(&server, Duration::from_mins(15));
    let running = Running::start(&config);
    running.notify(violation("web", "mount"), true);
    wait_until("delivery", || running.sink().sent == 1).await;
    let lasting = running.alerts.lasting();
    running.end().await;
    let running = Running::start_after(&config, restarted(&lasting, Duration::from_hours(1)));
    wait_until("the end", || running.sink().sent == 1).await;
    assert!(running.alerts.lasting().sinks.iter().all(lasting::LastingSink::is_empty));
    running.end().await;
}

#[tokio::test]
async fn after_a_restart_the_newest_of_a_record_in_flight_and_one_that_waits_is_sent() {
    let before = Server::start([Answer::Silence]).await;
    let running = Running::start(&AlertConfig { webhook: Some(webhook(&before.uri("/hook"))), ..nowhere() });
    running.notify(violation("web", "mount"), true);
    wait_until("a request", || before.requests().len() == 1).await;
    let grown = Violation { count: 7, ..violation("web", "mount") };
    let IncidentNotice { incident, .. } = notice(grown.clone(), true);
    let news = vec![NewCall { violation: Arc::new(grown), is_new: true }];
    running.alerts.notify(IncidentNotice { incident, news });
    let lasting = restarted(&running.alerts.lasting(), Duration::ZERO);
    let after = Server::start([Answer::Status(200, "")]).await;
    let config = AlertConfig { webhook: Some(webhook(&after.uri("/hook"))), ..nowhere() };
    let again = Running::start_after(&config, lasting);
    wait_until("delivery", || again.sink().sent == 1).await;
    let [sent] = &bodies(&after)[..] else { panic!("one post") };
    assert_eq!((&sent["count"], &sent["state"]), (&7.into(), &"new".into()), "nobody knew of it");
    again.end().await;
    running.shutdown.cancel();
}

#[tokio::test]
async fn what_another_daemon_left_is_delivered_too() {
    let silent = Running::start(&AlertConfig { webhook: Some(webhook(&Server::nobody().await)), ..nowhere() });
    silent.notify(violation("left", "mount"), true);
    wait_until("a failure", || silent.sink().failed >= 1).await;
    let server = Server::start([Answer::Status(200, "")]).await;
    let running = Running::start(&AlertConfig { webhook: Some(webhook(&server.uri("/hook"))), ..nowhere() });
    assert_eq!(running.alerts.deliver_too(restarted(&silent.alerts.lasting(), Duration::ZERO)), 1);
    wait_until("delivery", || running.sink().sent == 1).await;
    running.end().await;
    silent.shutdown.cancel();
}
