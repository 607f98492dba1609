//! Locks for short sections: no panic inside leaves a value half changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another thread's panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
