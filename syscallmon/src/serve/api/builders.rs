//! Builds answers of the API: a few at a time, in blocking threads.
//!
//! A client chooses the amount of work for an answer. The work delays neither sampling nor judging nor `/healthz`.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::Response,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::json::failure;

/// Maximum answers that are built at the same time.
const MAX_BUILDING: usize = 2;

/// Maximum waiting requests, and how long each waits.
const MAX_WAITING: usize = 32;
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Limits concurrent builds.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Builders {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Builders {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(MAX_BUILDING)), places: Arc::new(Semaphore::new(MAX_WAITING)) }
    }
}

impl Builders {
    /// Returns the answer that `build` makes, or 503 while too many others are being built.
    pub(in crate::serve) async fn build(&self, build: impl FnOnce() -> Response + Send + 'static) -> Response {
        let Ok(place) = self.places.try_acquire() else { return busy() };
        let turn = timeout(MAX_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        drop(place);
        let Ok(Ok(turn)) = turn else { return busy() };
        let answer = spawn_blocking(move || {
            // The work holds the permit, not the request: after a client has left, its work still counts.
            let _turn = turn;
            build()
        });
        answer.await.unwrap_or_else(|error| failure(StatusCode::INTERNAL_SERVER_ERROR, format!("a bug: {error}")))
    }
}

fn busy() -> Response {
    let text = "too many concurrent requests; try again in 1 s".to_owned();
    let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use axum::response::IntoResponse;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn few_are_built_at_once_and_clients_that_leave_change_nothing() {
        let builders = Builders::default();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            builders.build(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                running.fetch_sub(1, Ordering::SeqCst);
                StatusCode::OK.into_response()
            })
        };
        for _ in 0..5 {
            let _ = timeout(Duration::from_millis(2), work()).await;
        }
        let codes: Vec<StatusCode> = join_all((0..10).map(|_| work())).await.iter().map(Response::status).collect();
        assert!(codes.iter().all(StatusCode::is_success), "{codes:?}");
        assert_eq!(most.load(Ordering::SeqCst), MAX_BUILDING);
    }

    #[tokio::test]
    async fn too_many_requests_are_answered_with_retry_after() {
        let builders = Builders::default();
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let work = || {
            let wait = Arc::clone(&wait);
            builders.build(move || {
                let _ = wait.lock().unwrap().recv();
                StatusCode::OK.into_response()
            })
        };
        let answers = async {
            let answers = join_all((0..MAX_BUILDING + MAX_WAITING + 3).map(|_| work())).await;
            let refused = answers.iter().filter(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE);
            assert!(refused.clone().all(|answer| answer.headers()[RETRY_AFTER] == "1"));
            refused.count()
        };
        // All have asked before the first poll of this one.
        let releasing = async { drop(release) };
        assert_eq!(tokio::join!(answers, releasing).0, 3);
    }
}
