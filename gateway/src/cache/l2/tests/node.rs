//! Two instances that want the same number.

use super::*;
use crate::cache::{NodeError, NodeLease};
use crate::queue::{self, Signal};

fn lease(url: &str, who: &str) -> NodeLease {
    let redis = RedisConfig {
        url: Secret::new(url.to_owned()),
        namespace: "gw".into(),
        connection_count: 1,
        timeout: Duration::from_millis(200),
    };
    NodeLease::new(&redis, 7, who).unwrap()
}

/// An instance that has its number and keeps it.
struct Kept(Signal<bool>, tokio::task::JoinHandle<()>);

async fn kept(server: &RedisServer, who: &str, told: &Arc<Mutex<Vec<String>>>) -> Kept {
    let lease = lease(&server.url(), who);
    lease.take().await.unwrap();
    let (stop, stopped) = queue::signal(false);
    let told = Arc::clone(told);
    let tell = move |event: &Event<'_>| told.lock().unwrap().push(format!("{event:?}"));
    Kept(stop, tokio::spawn(async move { lease.keep(stopped, tell).await }))
}

#[tokio::test]
async fn number_of_a_living_instance_is_refused_until_it_ends() {
    let Some(server) = RedisServer::start().await else { return };
    let told = Arc::default();
    let one = kept(&server, "a:1", &told).await;
    for _ in 0..2 {
        let refused = lease(&server.url(), "b:1").take().await;
        let Err(NodeError::Taken { node: 7, holder }) = &refused else { panic!("{refused:?}") };
        assert_eq!(&**holder, "a:1");
    }
    one.0.set(true);
    one.1.await.unwrap();
    lease(&server.url(), "b:1").take().await.unwrap();
    assert!(told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn number_of_a_dead_instance_is_free_after_a_while_and_for_itself_at_once() {
    let Some(server) = RedisServer::start().await else { return };
    lease(&server.url(), "a:1").take().await.unwrap();
    let begun = std::time::Instant::now();
    lease(&server.url(), "a:1").take().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "it need not wait for itself");
    lease(&server.url(), "b:1").take().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "nobody knew that it was dead");
}

#[tokio::test]
async fn redis_that_is_away_is_told_and_another_holder_is_when_it_is_back() {
    let Some(mut server) = RedisServer::start().await else { return };
    let told = Arc::default();
    let one = kept(&server, "a:1", &told).await;
    server.kill();
    let untold = lease(&server.url(), "b:1").take().await;
    assert!(matches!(untold, Err(NodeError::Untold { node: 7, .. })), "{untold:?}");
    // It comes back without what it knew, and another instance is faster.
    server.restart().await;
    server.run(&["SET", "gw:node:7", "b:1"]).await;
    let warned = || told.lock().unwrap().iter().any(|it| it.contains("b:1"));
    eventually("told of the other one", warned).await;
    assert_eq!(told.lock().unwrap().len(), 1, "once");
    one.0.set(true);
    one.1.await.unwrap();
    assert_eq!(server.ask::<String>(&["GET", "gw:node:7"]).await, "b:1", "it is not its own");
}
