//! Each test takes a kind of work that no other unit test uses.

use std::{sync::mpsc, time::Instant};

use super::*;

const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(10);

fn of(work: Work) -> WorkStatus {
    status().into_iter().find(|status| status.work == work).unwrap()
}

#[tokio::test]
async fn a_job_that_hangs_takes_no_thread_from_other_keys() {
    let work = Work::Socket;
    let (release, hang) = mpsc::channel::<()>();
    let begin = Instant::now();
    let hangs = run(work, "a", SOON, move || hang.recv()).await;
    assert_eq!(hangs.unwrap_err(), BlockingError::TimedOut(SOON));
    for _ in 0..2 * MAX_THREADS {
        assert_eq!(run(work, "a", Duration::ZERO, || 1).await, Err(BlockingError::TimedOut(Duration::ZERO)));
    }
    assert!(begin.elapsed() < LATER);
    assert_eq!(run(work, "b", LATER, || 2).await, Ok(2));
    assert_eq!(of(work), WorkStatus { work, timeouts: 1 + 2 * MAX_THREADS as u64, stuck: 1 });
    release.send(()).unwrap();
    assert_eq!(run(work, "a", LATER, || 3).await, Ok(3));
    assert_eq!(of(work).stuck, 0);
}

#[tokio::test]
async fn the_threads_of_a_kind_are_bounded_and_other_kinds_have_theirs() {
    let work = Work::AlertLog;
    let mut releases = Vec::new();
    for key in 0..MAX_THREADS {
        let (release, hang) = mpsc::channel::<()>();
        let _ = run(work, &key.to_string(), SOON, move || hang.recv()).await;
        releases.push(release);
    }
    assert_eq!(of(work).stuck, MAX_THREADS);
    assert!(run(work, "one more", SOON, || ()).await.is_err());
    assert_eq!(run(Work::Config, "other", LATER, || ()).await, Ok(()));
    drop(releases);
    assert_eq!(run(work, "one more", LATER, || ()).await, Ok(()));
}

#[tokio::test]
async fn a_job_that_panics_makes_room() {
    let panics = run(Work::Config, "a", LATER, || panic!("as tested")).await;
    assert_eq!(panics, Err::<(), _>(BlockingError::Failed));
    assert_eq!(run(Work::Config, "a", LATER, || ()).await, Ok(()));
}

#[test]
fn the_end_of_the_runtime_waits_for_no_job() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_release, hang) = mpsc::channel::<()>();
    assert!(runtime.block_on(run(Work::Kubeconfig, "hangs", SOON, move || hang.recv())).is_err());
    let begin = Instant::now();
    drop(runtime);
    assert!(begin.elapsed() < LATER);
}
