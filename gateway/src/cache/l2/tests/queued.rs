//! States of queued writes, from one instance to another.

use super::*;
use crate::cache::QueuedState;

#[tokio::test]
async fn state_told_by_one_instance_is_known_to_another_until_it_is_forgotten() {
    let Some(server) = RedisServer::start().await else { return };
    let (teller, asker) = (Instance::on(&server).await, Instance::on(&server).await);
    let journalled = QueuedState::Journalled { since_micros: 1 };
    let dead = QueuedState::Dead { since_micros: 2, code: 2103, message: "NOT_ENOUGH".into() };
    let told = [([1; 16], Some(journalled.clone())), ([2; 16], Some(dead.clone()))];
    teller.cache.tell_queued(&told, WINDOW).await;
    assert_eq!(asker.cache.queued(&[1; 16]).await, Some(journalled));
    assert_eq!(asker.cache.queued(&[2; 16]).await, Some(dead));
    assert_eq!(asker.cache.queued(&[3; 16]).await, None);
    teller.cache.tell_queued(&[([1; 16], None)], WINDOW).await;
    assert_eq!(asker.cache.queued(&[1; 16]).await, None);
}

#[tokio::test]
async fn without_redis_nothing_is_known_and_nothing_fails() {
    let instance = Instance::alone();
    let told = [([1; 16], Some(QueuedState::Journalled { since_micros: 1 }))];
    instance.cache.tell_queued(&told, WINDOW).await;
    assert_eq!(instance.cache.queued(&[1; 16]).await, None);
}
