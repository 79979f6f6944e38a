"""A Slurm of three nodes on this machine (slurmctld, slurmd, munged), for the time of one command.

    slurm_cluster.py FOLDER COMMAND ARGUMENT…     the command sees SLURM_CONF; its exit code is this one's
"""
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import time

folder = pathlib.Path(sys.argv[1]).resolve()
user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
host = socket.gethostname().split(".")[0]
for name in ("state", "log"):
    (folder / name).mkdir(parents=True, exist_ok=True)
folder.chmod(0o755)
key = folder / "munge.key"
key.write_bytes(secrets.token_bytes(1024))
key.chmod(0o600)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


ports = free_ports(4)
nodes = "\n".join(f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[i]} CPUs=4 State=UNKNOWN" for i in (1, 2, 3))
conf = folder / "slurm.conf"
conf.write_text(f"""ClusterName=assay
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmctldPort={ports[0]}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=2
{nodes}
PartitionName=main Nodes=n1,n2,n3 Default=YES MaxTime=INFINITE State=UP
""")
environment = {**os.environ, "SLURM_CONF": str(conf)}
started = []


def start(*command):
    started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment))


code = 1
try:
    start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
          f"--pid-file={folder}/munge.pid", f"--log-file={folder}/log/munge.log", f"--seed-file={folder}/munge.seed")
    time.sleep(0.5)
    start("slurmctld", "-D", "-f", str(conf))
    for i in (1, 2, 3):
        start("slurmd", "-D", "-f", str(conf), "-N", f"n{i}")
    for _ in range(150):
        states = subprocess.run(["sinfo", "-h", "-o", "%t %D"], capture_output=True, text=True, env=environment).stdout
        if states.split() == ["idle", "3"]:
            break
        time.sleep(0.2)
    else:
        sys.exit(77)  # no cluster can be made here
    code = subprocess.run(sys.argv[2:], env=environment).returncode
finally:
    for process in reversed(started):
        process.terminate()
    for process in started:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
sys.exit(code)
