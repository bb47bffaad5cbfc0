//! Requests to end: Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends.
//!
//! A command ends at once, after it removed what it had under work. One that saves what it has says so with
//! [`on_request`].

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Once, PoisonError};

use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::temporary;

/// The exit code of [`super::Kind::Device`].
const NO_MEMORY: i32 = 7;

type Handler = Box<dyn FnMut(i32) + Send>;

static HANDLER: Mutex<Option<Handler>> = Mutex::new(None);

/// Hears signals from now on, on a thread of its own. Where that is not possible they have their usual effect.
pub fn hear() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Where an allocation fails that nobody checks, Rust says so and aborts: that is the code of memory.
        let always = Arc::new(AtomicBool::new(true));
        let _ = flag::register_conditional_shutdown(SIGABRT, NO_MEMORY, always);
        if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
            std::thread::spawn(move || signals.forever().for_each(act));
        }
    });
}

/// From now on `handler` decides what a signal does; it may call [`exit`].
pub fn on_request(handler: impl FnMut(i32) + Send + 'static) {
    hear();
    *HANDLER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(handler));
}

/// Ends the process, with nothing half written left behind.
pub fn exit(code: i32) -> ! {
    temporary::remove_all();
    std::process::exit(code)
}

fn act(signal: i32) {
    match HANDLER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_mut()
    {
        Some(handler) => handler(signal),
        None => {
            temporary::remove_all();
            let _ = emulate_default_handler(signal);
        }
    }
}
