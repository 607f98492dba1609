//! Who owns a socket: the user by uid, the job by inode → process → systemd unit or program.
//!
//! A job name is at most eight characters, upper case: the unit without its suffix, else the program's file name.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use nix::unistd::{Uid, User};

use crate::StackError;

/// A process that owns a socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Its process id.
    pub pid: i32,
    /// Its job name.
    pub jobname: String,
}

impl Owner {
    /// Its process and those it descends from, as they are now, but the first of all.
    #[must_use]
    pub fn lineage(&self) -> Vec<i32> {
        ancestors(self.pid)
    }
}

/// A process and those it descends from, but the first of all, whose child every orphan is.
fn ancestors(pid: i32) -> Vec<i32> {
    const MOST: usize = 16;
    let parent = |pid: &i32| -> Option<i32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        line.trim().parse().ok().filter(|parent| *parent > 1)
    };
    std::iter::successors(Some(pid), parent).take(MOST).collect()
}

/// The RACF user id of a uid: its login name in upper case, at most eight characters; `None` without a valid name.
#[must_use]
pub fn userid(uid: u32) -> Option<String> {
    lookup_userid(uid).ok().flatten()
}

/// The same, telling a user without a RACF name (`www-data`) from a user database that does not answer.
///
/// # Errors
///
/// When the user database does not answer.
pub fn lookup_userid(uid: u32) -> Result<Option<String>, StackError> {
    let found = User::from_uid(Uid::from_raw(uid)).map_err(std::io::Error::from);
    let found = found.map_err(|source| StackError::Refused { what: "a user's name", source })?;
    Ok(found.and_then(|user| as_userid(&user.name)))
}

/// Whether another uid's login name is this user id too, written in upper or lower case.
#[must_use]
pub fn has_namesake(uid: u32, userid: &str) -> bool {
    let others = [userid.to_owned(), userid.to_ascii_lowercase()];
    let other = |name: &String| User::from_name(name).ok().flatten().is_some_and(|user| user.uid.as_raw() != uid);
    others.iter().any(other)
}

fn as_userid(name: &str) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let valid = (1..=8).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "@#$".contains(c));
    valid.then_some(name)
}

/// The owners of these socket inodes, found in one walk through `/proc`. The lowest pid wins where several processes
/// share a socket.
#[must_use]
pub fn of_inodes(inodes: &[u32]) -> HashMap<u32, Owner> {
    let mut wanted: HashMap<String, u32> =
        inodes.iter().filter(|&&inode| inode != 0).map(|&inode| (format!("socket:[{inode}]"), inode)).collect();
    let mut owners = HashMap::new();
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        if wanted.is_empty() {
            break;
        }
        for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let Some(inode) = target.to_str().and_then(|target| wanted.get(target)).copied() else { continue };
            let owner = Owner { pid, jobname: jobname(pid) };
            // A process that has ended meanwhile has no name, or another process's; one that goes on has its descriptor yet.
            if !owner.jobname.is_empty() && fs::read_link(descriptor.path()).is_ok_and(|again| again == target) {
                wanted.retain(|_, known| *known != inode);
                owners.insert(inode, owner);
            }
        }
    }
    owners
}

/// The job name of a process.
fn jobname(pid: i32) -> String {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let unit = unit(&cgroup);
    let program = || {
        let target = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let file = target.file_name()?.to_str()?;
        Some(file.trim_end_matches(" (deleted)").to_owned())
    };
    let comm = || fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|comm| comm.trim().to_owned());
    let name = unit.map(str::to_owned).or_else(program).or_else(comm).unwrap_or_default();
    // z/OS job names have these characters only: python3.11 is PYTHON31.
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "@#$".contains(*c);
    name.chars().filter(allowed).take(8).collect::<String>().to_ascii_uppercase()
}

/// The service of a cgroup line (`0::/system.slice/vsftpd.service`), instance and suffix cut off.
fn unit(cgroup: &str) -> Option<&str> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    // What runs below a login is named by its user: no job names are taken from there.
    if path.contains("/user@") || path.contains("/user.slice/") {
        return None;
    }
    let name =
        Path::new(path).components().rev().find_map(|part| part.as_os_str().to_str()?.strip_suffix(".service"))?;
    Some(name.split('@').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_gives_the_job_its_name() {
        assert_eq!(unit("0::/system.slice/vsftpd.service\n"), Some("vsftpd"));
        assert_eq!(unit("0::/system.slice/system-openvpn.slice/openvpn@a.service\n"), Some("openvpn"));
        assert_eq!(unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/DB2.service\n"), None);
        assert_eq!(unit("0::/\n"), None);
    }

    #[test]
    fn our_own_socket_is_ours() {
        use std::os::fd::AsFd as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let inode = nix::sys::stat::fstat(listener.as_fd()).expect("its inode").st_ino;
        let inode = u32::try_from(inode).expect("a small inode");
        let owners = of_inodes(&[inode]);
        assert_eq!(owners.get(&inode).map(|owner| owner.pid), Some(nix::unistd::getpid().as_raw()));
    }
}
