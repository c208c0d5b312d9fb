//! Lets other settings hold while the gateway runs.

use std::{path::PathBuf, sync::Arc};

use crate::{
    proxy::{Front, Reload, Shared},
    routing::Table,
    settings::{Changes, Mistakes, Overrides, Settings},
    upstream::Upstreams,
};

/// Where the settings come from, and whom they concern.
pub struct Reloading {
    /// The file, where there is one (`GATEWAY_CONFIG`).
    pub file: Option<PathBuf>,
    /// What of the environment wins over the file.
    pub overrides: Overrides,
    /// The services behind.
    pub upstreams: Upstreams,
    /// What the workers read.
    pub shared: Arc<Shared>,
}

impl Reloading {
    /// Reads the file again and lets it hold where it is sound. Requests on their way end as they began.
    ///
    /// # Errors
    /// Says everything that is wrong; what held before goes on holding.
    pub fn reload(&self) -> Result<Changes, Mistakes> {
        let new = Settings::load(self.file.as_deref(), &self.overrides)?;
        let changes = Changes::between(&self.shared.front.load().settings, &new);
        self.upstreams.apply(&new.upstreams);
        self.shared.front.store(Arc::new(front(new, &self.upstreams)));
        Ok(changes)
    }

    /// As [`reload`](Self::reload), and says in the log what came of it.
    pub fn reload_and_log(&self) {
        let outcome = match self.reload() {
            Ok(changes) => {
                log::info!("event=settings_reloaded changes={:?}", changes.to_string());
                Reload::Applied
            }
            Err(mistakes) => {
                for mistake in mistakes.iter() {
                    log::error!("event=settings_refused mistake={:?}", mistake.to_string());
                }
                Reload::Refused
            }
        };
        self.shared.metrics.reloads.get_or_create(&outcome).inc();
    }
}

/// Makes of settings what requests are decided by.
pub fn front(settings: Settings, upstreams: &Upstreams) -> Front {
    let table = Table::new(&settings, upstreams);
    Front { settings: Arc::new(settings), table }
}
