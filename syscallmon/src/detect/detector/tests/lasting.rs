use super::*;
use crate::detect::{
    IncidentNotice, IncidentState, LastingDetection, LastingViolation, SavedLastingIncident, saved::SavedViolation,
};

/// A detector with these policies, after a restart of the daemon that had `before`.
fn restarted(before: &Detector, policies: &str) -> Detector {
    let (mut after, now) = (judges(policies), Instant::now());
    let lasting = before.lasting(now);
    let through_json = |json: String| serde_json::from_str(&json).unwrap();
    let violations = lasting.violations.into_iter().map(|lasting| {
        let saved = SavedViolation::from(&*lasting.violation);
        let saved: SavedViolation = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
        assert_eq!(Violation::try_from(saved.clone()).unwrap(), *lasting.violation);
        LastingViolation { violation: Arc::new(saved.try_into().unwrap()), ..lasting }
    });
    let violations = violations.collect();
    let incidents = lasting.incidents.iter().map(|lasting| {
        let saved = SavedLastingIncident::from(lasting);
        let saved: SavedLastingIncident = through_json(serde_json::to_string(&saved).unwrap());
        saved.lasting(now).unwrap()
    });
    let incidents = incidents.collect();
    after.take_over(LastingDetection { violations, incidents }, now);
    after
}

/// The next notices: state, number of new calls, and all calls of each incident.
fn notices(detector: &mut Detector) -> Vec<(IncidentState, usize, Vec<&'static str>)> {
    let notices = detector.notice_due().map(|due| detector.take_notices(due)).unwrap_or_default();
    let calls = |notice: &IncidentNotice| notice.incident.calls.iter().map(|call| call.call.syscall).collect();
    notices.iter().map(|notice| (notice.incident.state, notice.news.len(), calls(notice))).collect()
}

#[test]
fn after_a_restart_a_known_call_is_a_repeat_and_another_one_joins_its_incident() {
    let mut before = judges("[]");
    let event = first(&before, "mount");
    before.judge_first(&named(None), event);
    let delta = made(&before, named(None), &[("mount", 46)]);
    count(&mut before, delta);
    assert_eq!(notices(&mut before), [(IncidentState::New, 1, vec!["mount"])]);
    let id = before.incidents.view()[0].id;

    let mut after = restarted(&before, "[]");
    assert_eq!(notices(&mut after), []);
    let event = first(&after, "mount");
    after.judge_first(&named(None), event);
    assert_eq!(notices(&mut after), [], "it was reported");
    let delta = made(&after, named(None), &[("mount", 2)]);
    count(&mut after, delta);
    assert_eq!(notices(&mut after), [(IncidentState::Repeated, 0, vec!["mount"])]);
    let event = first(&after, "setns");
    after.judge_first(&named(None), event);
    assert_eq!(notices(&mut after), [(IncidentState::Grown, 1, vec!["mount", "setns"])]);
    let incidents = after.incidents.view();
    assert_eq!((incidents.len(), incidents[0].id, incidents[0].count), (1, id, 49));
}

#[test]
fn after_a_restart_what_was_not_noticed_is_noticed() {
    let mut before = judges("[]");
    let event = first(&before, "mount");
    before.judge_first(&named(None), event);
    let mut after = restarted(&before, "[]");
    assert_eq!(notices(&mut after), [(IncidentState::New, 1, vec!["mount"])]);
}

#[test]
fn after_a_restart_with_another_policy_what_it_allows_ends() {
    let mut before = judges("[]");
    for call in ["mount", "setns"] {
        let event = first(&before, call);
        before.judge_first(&named(Some("web")), event);
    }
    notices(&mut before);
    let mut after =
        restarted(&before, "[{name: runtime-default, match: [{namespace: shop}], allow: ['*:*'], deny: [setns]}]");
    after.judge_taken_over(&named(Some("web")));
    let left: Vec<_> = after.violations.iter().map(|violation| violation.call.syscall).collect();
    assert_eq!(left, ["setns"]);
    assert_eq!(after.incidents.view()[0].calls.len(), 1);
}

#[test]
fn a_restart_with_a_policy_that_learns_teaches_nothing_that_was_reported() {
    let mut before = judges("[]");
    let event = first(&before, "mount");
    before.judge_first(&named(Some("web")), event);
    let mut after = restarted(&before, "[{name: shop, match: [{namespace: shop}], learn: {}}]");
    let delta = made(&after, named(Some("web")), &[("read", 1)]);
    count(&mut after, delta);
    after.judge_taken_over(&named(Some("web")));
    let key: BaselineKey = "shop/Deployment/web/web".parse().unwrap();
    let learned = after.baselines.calls(&key).unwrap().clone();
    let [read, mount] = ["read", "mount"].map(|call| after.calls.id("x86_64", call).unwrap());
    assert!(learned.contains(&read) && !learned.contains(&mount));
    assert_eq!(after.violations.len(), 1, "it stays");
}

#[test]
fn no_violation_ends_while_policies_are_missing() {
    let mut before = judges("[]");
    let event = first(&before, "mount");
    before.judge_first(&named(Some("web")), event);
    let mut after = restarted(&before, "[{name: all, match: [{namespace: shop}], allow: ['*:*']}]");
    after.lacks_policies(true);
    after.judge_taken_over(&named(Some("web")));
    assert_eq!(after.violations.len(), 1);
    after.lacks_policies(false);
    after.judge_taken_over(&named(Some("web")));
    assert_eq!(after.violations.len(), 0);
}

#[test]
fn a_container_that_gets_its_name_after_a_restart_is_not_reported_again() {
    let mut before = judges("[]");
    let event = first(&before, "mount");
    before.judge_first(&unresolved(), event);
    notices(&mut before);
    let mut after = restarted(&before, "[]");
    after.renamed(&HashMap::from([(unresolved().workload, named(None))]));
    let event = first(&after, "mount");
    after.judge_first(&named(None), event);
    assert!(notices(&mut after).iter().all(|(_, news, _)| *news == 0), "nothing is new");
    assert_eq!((after.violations.len(), after.incidents.view().len()), (1, 1));
}
