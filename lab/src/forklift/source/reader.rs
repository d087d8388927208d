//! A source that cannot be watched is read again and again.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::{broadcast, watch},
    task::AbortHandle,
};

use crate::{clock::Clock, inventory::News};

/// How often: the refresh interval of the real inventory.
const REFRESH: Duration = Duration::from_secs(10);

/// What was read of a source, kept fresh for as long as this lives.
pub struct Reader<M> {
    model: RwLock<M>,
    parity: watch::Sender<bool>,
    task: Mutex<Option<AbortHandle>>,
}

impl<M> Drop for Reader<M> {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl<M: Default + PartialEq + Send + Sync + 'static> Reader<M> {
    /// Begins to read. `changed` is told whenever something differs.
    pub fn start(
        provider: String,
        clock: Clock,
        changed: broadcast::Sender<News>,
        read: impl Fn() -> BoxFuture<'static, anyhow::Result<M>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let reader = Arc::new(Self { model: RwLock::default(), parity: watch::channel(false).0, task: Mutex::default() });
        let weak = Arc::downgrade(&reader);
        let task = tokio::spawn(async move {
            loop {
                let read = read().await;
                let Some(reader) = weak.upgrade() else { return };
                match read {
                    Ok(fresh) => reader.take(fresh, &provider, &changed),
                    Err(error) => tracing::debug!(provider, "a source cannot be read: {error:#}"),
                }
                drop(reader);
                clock.sleep(REFRESH).await;
            }
        });
        *reader.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        reader
    }

    fn take(&self, fresh: M, provider: &str, changed: &broadcast::Sender<News>) {
        let mut model = self.model.write().unwrap_or_else(PoisonError::into_inner);
        let differs = *model != fresh;
        *model = fresh;
        drop(model);
        self.parity.send_replace(true);
        if differs {
            // Nobody may be listening.
            let _ = changed.send(News { provider: provider.to_owned(), vms: None });
        }
    }

    /// Everything that was read.
    pub fn model(&self) -> RwLockReadGuard<'_, M> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything was read once.
    pub fn has_parity(&self) -> bool {
        *self.parity.borrow()
    }

    /// Waits for that.
    pub async fn reads_all_within(&self, patience: Duration) -> bool {
        let mut parity = self.parity.subscribe();
        tokio::time::timeout(patience, parity.wait_for(|all| *all)).await.is_ok_and(|waited| waited.is_ok())
    }
}
