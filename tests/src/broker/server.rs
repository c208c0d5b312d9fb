//! The process: opens the store, listens, and keeps everything going until it is told to end.

use std::cell::RefCell;
use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection;
use super::core::Broker;
use super::faults;
use super::journal::Journal;
use super::options::Options;
use super::store::{Store, StoreError};

/// How long clients may take to hear that the broker ends.
const SHUT_DOWN: Duration = Duration::from_secs(5);

/// How often it is asked whether they have.
const LOOK: Duration = Duration::from_millis(10);

/// Longer than any wait for a timer, which is told when there is one.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Serves until SIGTERM or SIGINT, and then until all that was handed over is on disk.
pub(super) async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (store, recovered) = Store::open(&options.data)?;
    let store = Rc::new(store);
    let broker = Broker::new(Journal::new(store.clone()), options.queue_bytes);
    let broker = Rc::new(RefCell::new(broker));
    broker.borrow_mut().this = Rc::downgrade(&broker);
    broker.borrow_mut().restore_all(recovered)?;
    broker.borrow_mut().define_vhost("/");
    options.vhosts.iter().for_each(|vhost| broker.borrow_mut().define_vhost(vhost));
    broker.borrow_mut().settle();
    // What the store said of the last end must be gone from the disk before anything is delivered.
    while !broker.borrow().is_at_rest() {
        let changes = store.committed().await?;
        broker.borrow_mut().committed_now(changes);
    }

    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; choose another port with --port"))?;
    let (orders, received) = mpsc::unbounded_channel();
    let control = faults::listen(&options.data)
        .map_err(|error| format!("cannot make the control socket in {}: {error}", options.data.display()))?;
    spawn_local(faults::serve(control, orders));

    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "ready on {address}; messages are kept in {}", options.data.display());
    let _ = stdout.flush();
    tokio::select! {
        () = accept(&broker, listener) => {}
        result = write(&broker, &store) => result?,
        () = obey(&broker, received) => {}
        () = ring(&broker) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    broker.borrow_mut().begin_to_end();
    if let Ok(rested) = timeout(SHUT_DOWN, rest(&broker, &store)).await {
        return Ok(rested?);
    }
    // Who does not listen is left behind; the disk is not.
    broker.borrow_mut().cut_all();
    Ok(rest(&broker, &store).await?)
}

/// Returns when all is on disk and everybody has heard what there was to hear.
async fn rest(broker: &Rc<RefCell<Broker>>, store: &Store) -> Result<(), StoreError> {
    while !broker.borrow().is_at_rest() {
        tokio::select! {
            changes = store.committed() => broker.borrow_mut().committed_now(changes?),
            () = sleep(LOOK) => {}
        }
    }
    Ok(())
}

async fn accept(broker: &Rc<RefCell<Broker>>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            // Closed at once, so that the client sees the end and not silence.
            Ok((socket, _)) if broker.borrow().is_refusing() => drop(socket),
            Ok((socket, _)) => drop(spawn_local(connection::serve(broker.clone(), socket))),
            Err(error) => {
                log::warn!("event=not_accepted error={error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Goes on with each batch that is on disk. A disk that fails ends the broker: nothing more could be confirmed.
async fn write(broker: &Rc<RefCell<Broker>>, store: &Store) -> Result<(), StoreError> {
    loop {
        let changes = store.committed().await?;
        broker.borrow_mut().committed_now(changes);
    }
}

async fn obey(
    broker: &Rc<RefCell<Broker>>,
    mut orders: mpsc::UnboundedReceiver<(faults::Order, tokio::sync::oneshot::Sender<faults::Answer>)>,
) {
    while let Some((order, answer)) = orders.recv().await {
        let level = if order == faults::Order::Status { log::Level::Debug } else { log::Level::Info };
        let said = serde_json::to_string(&order).unwrap_or_default();
        log::log!(level, "event=order order={said:?}");
        let _ = answer.send(broker.borrow_mut().obey(order));
    }
    std::future::pending().await
}

async fn ring(broker: &Rc<RefCell<Broker>>) {
    let timers = broker.borrow().timers.clone();
    loop {
        let next = broker.borrow().next_timer().unwrap_or_else(|| Instant::now() + NEVER);
        tokio::select! {
            () = sleep_until(next) => broker.borrow_mut().ring(),
            () = timers.notified() => {}
        }
    }
}
