//! Updates the owners of this node's pods in the cache.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{Context, Provider, ProviderError, ProviderName, ProviderSettings, Report, kubernetes::Controllers};
use crate::retry::{Backoff, FIRST_PAUSE, LAST_PAUSE};
use crate::workload::{
    MetadataCache,
    owner::{ControllerAnswer, Intermediate},
};

/// Requests about controllers of pods.
pub(super) struct Owners {
    kubeconfig: Option<PathBuf>,
    cache: MetadataCache,
}

impl Provider for Owners {
    const NAME: ProviderName = ProviderName::KubernetesOwners;

    fn configured(context: &Context<'_>) -> Option<Self> {
        let Context { sources, cache, .. } = *context;
        let owners = || Self { kubeconfig: sources.kubeconfig.clone(), cache: cache.clone() };
        sources.asks_kubernetes().then(owners)
    }

    /// It knows no containers.
    fn is_awaited(_: &ProviderSettings) -> bool {
        false
    }

    async fn run(self) {
        let mut outcomes = Outcomes::new(&self.cache);
        let controllers = loop {
            match Controllers::connect(self.kubeconfig.as_deref()).await {
                Ok(controllers) => break controllers,
                Err(error) => outcomes.report.failed(&error),
            }
            sleep(LAST_PAUSE).await;
        };
        keep_with(&controllers, &self.cache, &mut outcomes, FIRST_PAUSE).await;
    }
}

async fn keep_with(controllers: &Controllers, cache: &MetadataCache, outcomes: &mut Outcomes, first_pause: Duration) {
    let mut wanted = cache.owners_wanted();
    let mut backoff = Backoff::starting_with(first_pause);
    loop {
        let reference = match cache.due_owner() {
            Ok(reference) => reference,
            Err(next) => {
                let next = next.map_or_else(|| Instant::now() + LAST_PAUSE, Instant::from_std);
                tokio::select! {
                    () = wanted.changed() => {}
                    () = sleep_until(next) => {}
                }
                continue;
            }
        };
        let (answer, problem) = controllers.ask(&reference, cache.is_verified(&reference)).await;
        let is_down = answer == ControllerAnswer::Failed;
        cache.owner_answered(&reference, answer);
        outcomes.note(reference.level, problem);
        if is_down {
            // Further requests would fail, too.
            sleep(backoff.failed(None)).await;
        } else {
            backoff.succeeded();
        }
    }
}

/// State of the requests. It is healthy if requests succeed for each kind of controller, because rights are granted for
/// each.
struct Outcomes {
    report: Report,
    problems: HashMap<Intermediate, ProviderError>,
}

impl Outcomes {
    fn new(cache: &MetadataCache) -> Self {
        let failed_action = "cannot read owners of ReplicaSets and Jobs";
        let report = Report { failed_action, ..Report::new(Owners::NAME, cache.clone()) };
        Self { report, problems: HashMap::new() }
    }

    fn note(&mut self, level: Intermediate, problem: Option<ProviderError>) {
        if let Some(problem) = problem {
            self.report.failed(&problem);
            self.problems.insert(level, problem);
            return;
        }
        self.problems.remove(&level);
        if self.problems.is_empty() {
            self.report.answered();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::{task::JoinHandle, time::timeout};

    use super::{
        super::{
            Pod, PodChange,
            kubernetes::server::{Answer as Reply, ApiServer},
        },
        *,
    };
    use crate::workload::{Controller, PodInfo};

    const UID: &str = "2f6d8a0e-4b7c-4a55-9d32-6a1f0c9b8e71";

    /// Returns a pod with a controller of this kind, name and UID.
    fn pod(api_group: &str, kind: &str, name: &str, uid: &str) -> Pod {
        let [group, kind, name, uid] = [api_group, kind, name, uid].map(Into::into);
        let [pod_uid, namespace, pod] = [UID, "shop", "evil"].map(Into::into);
        Pod {
            facts: PodInfo { uid: pod_uid, namespace, name: pod },
            containers: Vec::new(),
            controller: Some(Controller { group, kind, name, uid }),
            is_static: false,
        }
    }

    /// Returns an object with this UID, and a controller of this version, kind and name.
    fn object(uid: &str, api_version: &str, kind: &str, name: &str) -> Reply {
        let above = json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": "u9", "controller": true}]);
        let metadata = json!({"name": "x", "namespace": "shop", "uid": uid, "ownerReferences": above});
        let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
        Reply::Whole(200, object.to_string())
    }

    fn refusal(code: u16, message: &str) -> Reply {
        let status: Value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code});
        Reply::Whole(code, status.to_string())
    }

    /// Returns a cache with a pod and a pending request about its controller.
    struct Kept {
        server: ApiServer,
        cache: MetadataCache,
        task: JoinHandle<()>,
    }

    impl Kept {
        async fn start(pod: Pod, replies: impl IntoIterator<Item = Reply>) -> Self {
            let (server, cache) = (ApiServer::start(replies).await, MetadataCache::default());
            cache.pod_changed(PodChange::Applied(pod));
            let controllers = Controllers::connect(Some(server.kubeconfig())).await.unwrap();
            let asked = cache.clone();
            let task = tokio::spawn(async move {
                keep_with(&controllers, &asked, &mut Outcomes::new(&asked), Duration::from_millis(10)).await;
            });
            Self { server, cache, task }
        }

        /// Returns the owner once it is known.
        async fn owner(&self) -> Option<String> {
            let known = async {
                while !self.cache.knows_owner(UID) {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(10), known).await.expect("in time");
            self.cache.owner(UID).map(|owner| format!("{}/{}", owner.kind, owner.name))
        }

        fn problem(&self) -> Option<String> {
            let sources = self.cache.sources();
            sources.into_iter().find(|status| status.source == ProviderName::KubernetesOwners)?.problem
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    async fn owner(pod: Pod, replies: impl IntoIterator<Item = Reply>) -> Option<String> {
        Kept::start(pod, replies).await.owner().await
    }

    #[tokio::test]
    async fn the_chain_of_owners_is_the_api_server_s() {
        let web = || pod("apps", "ReplicaSet", "web-5d4f", "u1");
        let kept = Kept::start(web(), [object("u1", "apps/v1", "Deployment", "web")]).await;
        assert_eq!(kept.owner().await.as_deref(), Some("Deployment/web"));
        assert_eq!(kept.server.requests(), ["/apis/apps/v1/namespaces/shop/replicasets/web-5d4f"]);
        assert_eq!(kept.problem(), None);
        let kept =
            Kept::start(pod("batch", "Job", "backup-29103845", "u1"), [object("u1", "batch/v1", "CronJob", "backup")]);
        let kept = kept.await;
        assert_eq!(kept.owner().await.as_deref(), Some("CronJob/backup"));
        assert_eq!(kept.server.requests(), ["/apis/batch/v1/namespaces/shop/jobs/backup-29103845"]);
        let rollout = object("u1", "argoproj.io/v1alpha1", "Rollout", "web");
        assert_eq!(owner(web(), [rollout]).await.as_deref(), Some("Rollout.argoproj.io/web"));
    }

    #[tokio::test]
    async fn a_pod_cannot_choose_its_owner_by_names_or_labels() {
        let alone = Reply::Whole(200, json!({"metadata": {"uid": "u1"}}).to_string());
        let job = pod("batch", "Job", "backup-12345678", "u1");
        assert_eq!(owner(job, [alone]).await.as_deref(), Some("Job/backup-12345678"));
        let forged = || pod("apps", "ReplicaSet", "web-5d4f", "mine");
        assert_eq!(owner(forged(), [object("u1", "apps/v1", "Deployment", "web")]).await, None);
        assert_eq!(owner(forged(), [refusal(404, "not found")]).await, None);
        assert_eq!(owner(pod("apps", "Deployment", "web", "u1"), []).await, None);
        assert_eq!(owner(pod("apps", "ReplicaSet", "../../secrets/a", "u1"), []).await, None);
    }

    #[tokio::test]
    async fn without_the_right_the_pod_s_word_stands_and_it_is_said() {
        let kept = Kept::start(
            pod("apps", "ReplicaSet", "web-5d4f", "u1"),
            [refusal(403, "replicasets.apps is forbidden: User \"x\" cannot get resource")],
        );
        let kept = kept.await;
        assert_eq!(kept.owner().await.as_deref(), Some("ReplicaSet/web-5d4f"));
        let problem = kept.problem().expect("it is a problem");
        assert!(problem.contains("replicasets.apps is forbidden"), "{problem}");
    }

    #[tokio::test]
    async fn a_controller_that_is_too_long_to_read_owns_nothing_and_holds_nobody_up() {
        let long = json!({"metadata": {"uid": "u1", "annotations": {"a": "x".repeat(2 << 20)}}});
        let pod = pod("apps", "ReplicaSet", "web-5d4f", "u1");
        assert_eq!(owner(pod, [Reply::Whole(200, long.to_string())]).await, None);
    }

    #[tokio::test]
    async fn an_api_server_in_trouble_is_asked_again_and_nothing_is_assumed() {
        let replies = [
            refusal(500, "etcd is ill"),
            Reply::Whole(200, "{\"metadata\": 1".to_owned()),
            object("u1", "apps/v1", "Deployment", "web"),
        ];
        let kept = Kept::start(pod("apps", "ReplicaSet", "web-5d4f", "u1"), replies).await;
        assert_eq!(kept.owner().await.as_deref(), Some("Deployment/web"));
        assert_eq!(kept.server.requests().len(), 3);
    }
}
