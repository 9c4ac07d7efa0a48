use super::*;

fn labels(text: &str) -> LabelSet {
    text.split(',').filter_map(|label| label.split_once('=')).collect()
}

fn infos(texts: &[&str]) -> Infos {
    let span = |index: usize| Span { first: index as f64, last: 10.0 + index as f64, is_exact: true };
    texts.iter().enumerate().map(|(index, text)| (labels(text), span(index))).collect()
}

fn counters(texts: &[&str]) -> Counters {
    texts.iter().map(|text| (labels(text), Counter { max: 1.0, ..Counter::default() })).collect()
}

fn names(joined: &Joined<'_>) -> Vec<String> {
    joined.replicas.keys().map(|key| format!("{}@{}", key.labels, key.node)).collect()
}

#[test]
fn labels_that_identify_workloads_are_those_of_the_counts() {
    let infos = infos(&[
        "instance=n1,namespace=shop,owner=web,pod=web-1,container=c",
        "instance=n1,container=c,runtime=docker",
    ]);
    let calls = counters(&[
        "instance=n1,namespace=shop,owner=web,container=c,abi=x86_64,syscall=read",
        "instance=n1,container=c,abi=x86_64,syscall=write",
        "instance=n2,container=c,abi=x86_64,syscall=kill",
    ]);
    let denied = Counters::new();
    let joined = join(&infos, &calls, &denied).unwrap();
    assert_eq!(names(&joined), ["shop/c/web@n1", "c@n1"]);
    let calls: Vec<_> = joined.replicas.values().flat_map(|replica| replica.calls.keys()).collect();
    assert_eq!(calls, [&("x86_64", "read"), &("x86_64", "write")], "n2 was not selected");
    assert_eq!(joined.infos_without_counts, 0);
}

#[test]
fn a_replica_keeps_all_of_its_metadata() {
    let infos = infos(&[
        "instance=n1,pod=a,node=x,image=i:1,container_id=1",
        "instance=n1,pod=a,node=x,image=i:2,container_id=2",
        "instance=n2,pod=a,node=x,image=i:2,container_id=2",
        "instance=n2,pod=b,node=x",
    ]);
    let calls = counters(&["instance=n1,pod=a,abi=x86_64,syscall=read", "instance=n2,pod=a,abi=x86_64,syscall=read"]);
    let denied = Counters::new();
    let joined = join(&infos, &calls, &denied).unwrap();
    assert_eq!(names(&joined), ["a@x"]);
    let replica = joined.replicas.values().next().unwrap();
    assert_eq!((replica.image(), replica.images.len(), replica.targets.len()), (Some("i:2"), 2, 2));
    assert_eq!(replica.span, Span { first: 0.0, last: 12.0, is_exact: true });
    assert_eq!(replica.first_target, labels("instance=n1"));
    assert_eq!(replica.calls[&("x86_64", "read")].len(), 2);
    assert_eq!(joined.infos_without_counts, 1);
}

#[test]
fn daemons_may_identify_workloads_by_different_labels() {
    let infos = infos(&[
        "instance=n1,namespace=shop,owner=web,pod=web-1,container=c",
        "instance=n2,namespace=shop,owner=web,pod=web-2,container=c",
    ]);
    let calls = counters(&[
        "instance=n1,namespace=shop,owner=web,container=c,abi=x86_64,syscall=read",
        "instance=n2,namespace=shop,pod=web-2,container=c,abi=x86_64,syscall=read",
        "instance=n2,container=c,abi=x86_64,syscall=kill",
    ]);
    let denied = Counters::new();
    let joined = join(&infos, &calls, &denied).unwrap();
    assert_eq!(names(&joined), ["shop/web-2/c@n2", "shop/c/web@n1"]);
    assert!(joined.replicas.values().all(|replica| replica.calls.len() == 1), "a container of Docker has no namespace");
}

#[test]
fn series_of_several_workloads_together_are_no_replica() {
    let infos = infos(&["instance=n1,cgroup=/a,node=x", "instance=n1,cgroup=(pause),node=x"]);
    let calls = counters(&[
        "instance=n1,cgroup=/a,abi=x86_64,syscall=read",
        "instance=n1,cgroup=(pause),abi=x86_64,syscall=pause",
        "instance=n1,cgroup=(remainder),abi=x86_64,syscall=write",
    ]);
    let denied = Counters::new();
    assert_eq!(names(&join(&infos, &calls, &denied).unwrap()), ["/a@x"]);
}
