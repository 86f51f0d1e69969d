//! The target `local`: every replica a process of its own on this machine, on a loopback port.

mod memory;
mod spawner;
mod sweep;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::time::{Duration, Instant};

use neuro_data::{Application, Catalogue, CleanupVerdict, Host, ReplicaInfo, RunSpec};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use self::memory::{MemoryControl, MemoryLimit, group_name};
use self::spawner::{Program, RUN_VARIABLE, Spawner};
use crate::counters::{ProcessCounters, peak_memory_gb};
use crate::health::{Health, probe};
use crate::lock::Lock;
use crate::target::{CounterReading, Endpoint, Target};
use crate::{Error, Result, host};

/// How replicas are started on this machine.
#[derive(Debug, Clone)]
pub struct LocalParams {
    /// The applications that may be deployed.
    pub catalogue: Catalogue,
    /// What to start in place of a program's name: `neuro-app` → the example's own executable and a subcommand, say.
    pub programs: BTreeMap<String, Vec<String>>,
    /// Name of the server in the records; the host's name by default.
    pub server: Option<String>,
    /// The file that keeps two drivers off this machine. Drivers with different files do not see one another.
    pub lock: PathBuf,
    /// Whether replicas get the memory limit of the catalogue.
    pub limit_memory: bool,
}

impl LocalParams {
    /// Everything at its default for a catalogue.
    pub fn new(catalogue: Catalogue) -> Self {
        let lock = PathBuf::from("/tmp/neuro-local-target.lock");
        Self { catalogue, programs: BTreeMap::new(), server: None, lock, limit_memory: true }
    }
}

/// This machine as a target. Dropped, it ends what it started.
#[derive(Debug)]
pub struct LocalTarget {
    params: LocalParams,
    server: String,
    spawner: Spawner,
    memory: MemoryControl,
    replicas: Vec<Replica>,
    _lock: Lock,
}

#[derive(Debug)]
struct Replica {
    tenant_index: usize,
    tenant_id: String,
    number: u32,
    app: String,
    port: u16,
    batch: u32,
    child: Child,
    /// Held open for as long as the replica is to live.
    _stdin: Option<ChildStdin>,
    counters: Option<ProcessCounters>,
    memory: MemoryLimit,
    limit_gb: f64,
    program: String,
    log: PathBuf,
    started: Instant,
    ready_after_s: Option<f64>,
    peak_memory_gb: Option<f64>,
}

/// Which replica, and where it is to listen.
#[derive(Debug, Clone, Copy)]
struct Place {
    tenant_index: usize,
    number: u32,
    port: u16,
    batch: u32,
}

impl LocalTarget {
    /// Takes this machine.
    ///
    /// # Errors
    /// [`Error::Locked`] when another driver has it; the lock file or a thread cannot be made.
    pub fn new(params: LocalParams) -> Result<Self> {
        let lock = Lock::take(&params.lock, "this machine")?;
        raise_descriptor_limit();
        let memory = if params.limit_memory { MemoryControl::detect() } else { MemoryControl::Rlimit };
        memory.remove_stale();
        let spawner = Spawner::start().map_err(Error::io("start", "the spawner's thread"))?;
        let server = params.server.clone().unwrap_or_else(|| host::describe().name);
        Ok(Self { params, server, spawner, memory, replicas: Vec::new(), _lock: lock })
    }

    fn start_replica(&self, run_id: &str, spec: &RunSpec, place: Place, logs: &Path) -> Result<Replica> {
        let Place { tenant_index, number, port, batch } = place;
        let tenant = &spec.tenants[tenant_index];
        let app = self.params.catalogue.get(&tenant.app)?;
        let failed =
            |reason: String| Error::Replica { tenant: tenant.id.clone(), replica: number, app: app.id.clone(), reason };
        let argv = self.command(app, port, spec);
        let log = logs.join(format!("{}-{number}.log", tenant.id));
        let log_file = File::create(&log).map_err(Error::io("create", log.display()))?;

        let limit_gb = app.memory_limit_gb();
        let name = group_name(&format!("{}-{number}", tenant.id));
        let mut memory = if self.params.limit_memory {
            self.memory.limit(&name, (limit_gb * 1e9) as u64)
        } else {
            MemoryLimit::none()
        };
        let threads = spec.threads.to_string();
        let env =
            [(RUN_VARIABLE, run_id.to_owned()), ("RAYON_NUM_THREADS", threads.clone()), ("OMP_NUM_THREADS", threads)];
        let program = Program {
            argv: argv.clone(),
            env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            log: log_file,
            rlimit_bytes: memory.rlimit_bytes,
        };
        let started = Instant::now();
        let mut child =
            self.spawner.spawn(program).map_err(|e| failed(format!("cannot be started as {:?}: {e}", argv[0])))?;
        memory.adopt(child.id());
        Ok(Replica {
            tenant_index,
            tenant_id: tenant.id.clone(),
            number,
            app: app.id.clone(),
            port,
            batch,
            _stdin: child.stdin.take(),
            child,
            counters: None,
            memory,
            limit_gb,
            program: argv.join(" "),
            log,
            started,
            ready_after_s: None,
            peak_memory_gb: None,
        })
    }

    /// The command of a replica, its placeholders filled in and its program replaced where the parameters say so.
    fn command(&self, app: &Application, port: u16, spec: &RunSpec) -> Vec<String> {
        let values = [
            ("{id}", app.id.clone()),
            ("{host}", Ipv4Addr::LOCALHOST.to_string()),
            ("{port}", port.to_string()),
            ("{batch}", app.batch.to_string()),
            ("{threads}", spec.threads.to_string()),
            ("{seed}", spec.seed.to_string()),
        ];
        let fill = |part: &String| values.iter().fold(part.clone(), |part, (name, value)| part.replace(name, value));
        let template = app.command_template();
        let (program, arguments) = template.split_first().map_or((String::new(), &[][..]), |(p, a)| (p.clone(), a));
        let program = self.params.programs.get(&program).cloned().unwrap_or_else(|| vec![program]);
        program.iter().chain(arguments).map(fill).collect()
    }
}

impl Target for LocalTarget {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn server(&self) -> &str {
        &self.server
    }

    fn host(&self) -> Host {
        host::describe()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = descriptors.map_or("unlimited".to_owned(), |limit| limit.to_string());
        BTreeMap::from([("descriptors".to_owned(), descriptors)])
    }

    async fn sweep(&mut self, run_id: &str) -> Result<usize> {
        let (found, alive) = sweep::end_processes_of(run_id);
        if alive > 0 {
            let action = "end";
            let what = format!("{alive} processes that an earlier attempt at {run_id} left");
            return Err(Error::Io { action, what, source: std::io::ErrorKind::PermissionDenied.into() });
        }
        self.memory.remove_stale();
        Ok(found)
    }

    async fn deploy(&mut self, run_id: &str, spec: &RunSpec, logs: &Path) -> Result<()> {
        fs::create_dir_all(logs).map_err(Error::io("create", logs.display()))?;
        let places: Vec<(usize, u32)> = spec
            .tenants
            .iter()
            .enumerate()
            .flat_map(|(tenant_index, tenant)| (0..tenant.instances).map(move |number| (tenant_index, number)))
            .collect();
        let ports = free_ports(places.len()).map_err(Error::io("find", "free loopback ports"))?;
        for ((tenant_index, number), port) in places.into_iter().zip(ports) {
            let batch = self.params.catalogue.get(&spec.tenants[tenant_index].app)?.batch;
            let replica = self.start_replica(run_id, spec, Place { tenant_index, number, port, batch }, logs)?;
            self.replicas.push(replica);
        }
        Ok(())
    }

    async fn await_ready(&mut self, deadline: Duration) -> Result<Vec<Endpoint>> {
        let end = Instant::now() + deadline;
        for replica in &mut self.replicas {
            loop {
                if let Some(reason) = replica.ended() {
                    return Err(replica.failed(reason));
                }
                let answer = probe(&format!("{}:{}", Ipv4Addr::LOCALHOST, replica.port)).await;
                if answer == Health::Ready {
                    break;
                }
                if Instant::now() >= end {
                    let reason =
                        format!("is not ready after {:.0} s ({answer}){}", deadline.as_secs_f64(), replica.log_end());
                    return Err(replica.failed(reason));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            replica.ready_after_s = Some(replica.started.elapsed().as_secs_f64());
        }
        for replica in &mut self.replicas {
            replica.counters = Some(ProcessCounters::attach(replica.child.id()));
        }
        Ok(self.replicas.iter().map(Replica::endpoint).collect())
    }

    async fn read_counters(&mut self) -> Vec<CounterReading> {
        let mut readings = Vec::new();
        for replica in &mut self.replicas {
            for total in replica.counters.iter_mut().flat_map(|counters| counters.read()) {
                readings.push(CounterReading {
                    tenant: replica.tenant_index,
                    replica: replica.number,
                    event: total.event,
                    count: total.count,
                    enabled_ns: total.enabled_ns,
                    running_ns: total.running_ns,
                });
            }
        }
        readings
    }

    fn replicas(&mut self) -> Vec<ReplicaInfo> {
        let describe = |replica: &mut Replica| {
            replica.peak_memory_gb = peak_memory_gb(replica.child.id()).or(replica.peak_memory_gb);
            ReplicaInfo {
                tenant_id: replica.tenant_id.clone(),
                replica: replica.number,
                endpoint: format!("{}:{}", Ipv4Addr::LOCALHOST, replica.port),
                program: replica.program.clone(),
                pid: Some(replica.child.id()),
                memory_limit: (replica.limit_gb, replica.memory.kept_by.to_owned()),
                peak_memory_gb: replica.peak_memory_gb,
                startup_s: replica.ready_after_s,
            }
        };
        self.replicas.iter_mut().map(describe).collect()
    }

    async fn casualties(&mut self) -> Vec<String> {
        let reason = |replica: &mut Replica| {
            let reason = replica.ended()?;
            Some(replica.failed(reason).to_string())
        };
        self.replicas.iter_mut().filter_map(reason).collect()
    }

    async fn tear_down(&mut self) -> CleanupVerdict {
        let replicas = std::mem::take(&mut self.replicas);
        let groups: Vec<Pid> = replicas.iter().map(|replica| replica.group()).collect();
        end_all(replicas);
        let left = groups.iter().filter(|group| test_kill_process_group(**group).is_ok()).count();
        if left == 0 { CleanupVerdict::Clean } else { CleanupVerdict::Leftover(format!("{left} process groups")) }
    }
}

impl Drop for LocalTarget {
    fn drop(&mut self) {
        end_all(std::mem::take(&mut self.replicas));
    }
}

impl Replica {
    fn endpoint(&self) -> Endpoint {
        let authority = format!("{}:{}", Ipv4Addr::LOCALHOST, self.port);
        Endpoint { tenant: self.tenant_index, replica: self.number, authority, batch: self.batch }
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How the process ended, if it has.
    fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) if self.memory.kills() > 0 => {
                format!("was killed (signal {signal}): it wanted more memory than its limit of {} GB", self.limit_gb)
            }
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        Some(format!("{how}{}", self.log_end()))
    }

    fn failed(&self, reason: String) -> Error {
        Error::Replica { tenant: self.tenant_id.clone(), replica: self.number, app: self.app.clone(), reason }
    }

    /// The last lines of what it printed, for an error.
    fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        let end: Vec<&str> = lines.into_iter().rev().collect();
        if end.is_empty() { String::new() } else { format!("; it printed: {}", end.join(" / ")) }
    }
}

/// Asks every replica to end, kills what has not after a second, and waits for all.
fn end_all(mut replicas: Vec<Replica>) {
    for replica in &replicas {
        let _ = kill_process_group(replica.group(), Signal::TERM);
    }
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline && replicas.iter_mut().any(|r| matches!(r.child.try_wait(), Ok(None))) {
        std::thread::sleep(Duration::from_millis(2));
    }
    for replica in &mut replicas {
        // The group too: a replica may have started processes of its own.
        let _ = kill_process_group(replica.group(), Signal::KILL);
        let _ = replica.child.wait();
    }
    // Killed grandchildren are reaped by init, not by us: give it a moment.
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline && replicas.iter().any(|r| test_kill_process_group(r.group()).is_ok()) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Loopback ports that nobody listens on now, all different. Should another process take one before the replica does, the
/// replica ends with a clear message, its run fails, and the next call does it again.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = (0..count).map(bind).collect::<std::io::Result<Vec<_>>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Raises this process's limit of open descriptors to what it may have: an open loop needs one for each request in flight,
/// and so does the service behind it.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
