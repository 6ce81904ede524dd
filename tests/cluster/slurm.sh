#!/usr/bin/env bash
# A real SLURM with two nodes on this machine, as long as standard input stays open.
#
#     bash tests/cluster/slurm.sh FOLDER [PATH...]    # FOLDER is empty; its name is short
#     export SLURM_CONF=FOLDER/slurm.conf             # in another terminal
#
# It needs root and Debian's packages slurmctld, slurmd, slurmdbd and mariadb-server-core, but neither
# systemd nor cgroups. Its munged, its database and its ports are its own, so that it runs beside any
# other SLURM. It prints `ready`, or says what failed and exits with 1. Each node has a host name and a
# /tmp of its own and shares the rest; from this machine's /tmp a node sees FOLDER and each PATH.
#
# All of it runs in namespaces of its own. When the first process in there ends, the kernel ends the
# others and undoes the mounts, however it ended: nothing stays, and FOLDER is emptied.
set -euo pipefail

# The first process of a namespace has number 1 in it.
[ $$ = 1 ] || exec unshare --mount --pid --fork --kill-child --mount-proc bash "$0" "$@"

HERE=$(realpath "$1")
shift
PATHS=("$HERE" "$@")

# Whatever else runs in this namespace (-1) ends first, so that nothing is written afterwards.
trap 'exec 2>/dev/null; kill -KILL -1; wait; rm -rf "${HERE:?}"/*' EXIT
trap 'exit 0' INT TERM

# Standard input is closed by whoever started this, or by the kernel if that process is killed.
exec 3<&0
{ cat >/dev/null && kill -TERM $$; } <&3 &
lifeline=$!

unset TMPDIR # a folder of this machine that the nodes may not have
export SLURM_CONF=$HERE/slurm.conf
export MYSQL_UNIX_PORT=$HERE/mysql.socket # where slurmdbd looks for the database

# wait_for NAME COMMAND...: try the command for 20 s, while the program that was started last lives. If
# it does not succeed, end with the last line of NAME's log.
wait_for() {
    local name=$1
    shift
    for _ in $(seq 200); do
        "$@" >/dev/null 2>&1 && return
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    echo "$name does not answer: $(tail -n 1 "$HERE/$name.log")"
    exit 1
}

read -r port_ctld port_dbd port_node1 port_node2 < <(python3 - <<'PYTHON'
import socket

sockets = [socket.socket() for _ in range(4)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
)

start_munged() {
    dd if=/dev/urandom of="$HERE/munge.key" bs=1 count=128 status=none
    chmod 600 "$HERE/munge.key"
    munged --force --foreground --socket="$HERE/munge.socket" --key-file="$HERE/munge.key" \
        --pid-file="$HERE/munged.pid" --seed-file="$HERE/munge.seed" >"$HERE/munged.log" 2>&1 &
    wait_for munged munge --no-input --socket="$HERE/munge.socket"
}

write_config() {
    cat >"$SLURM_CONF" <<CONF
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port_ctld
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$HERE/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$port_dbd
AccountingStoragePass=$HERE/munge.socket
JobAcctGatherType=jobacct_gather/linux
ReturnToService=2
StateSaveLocation=$HERE/state
SlurmdSpoolDir=$HERE/spool.%n
SlurmctldPidFile=$HERE/slurmctld.pid
SlurmdPidFile=$HERE/slurmd.%n.pid
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=$port_node1 CPUs=1 RealMemory=4000
NodeName=node2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=$port_node2 CPUs=1 RealMemory=4000
PartitionName=bench Nodes=node1,node2 Default=YES MaxTime=01:00:00 PriorityTier=1
PartitionName=urgent Nodes=node1,node2 MaxTime=01:00:00 PriorityTier=10
CONF
}

start_accounting() {
    mkdir "$HERE/mysql"
    echo "create database slurm_acct_db;" >"$HERE/database.sql"
    # Without tables of users, which the client's package would have to install.
    mariadbd --no-defaults --datadir="$HERE/mysql" --user=root --skip-grant-tables --skip-networking \
        --socket="$MYSQL_UNIX_PORT" --pid-file="$HERE/mysql.pid" --init-file="$HERE/database.sql" \
        --innodb-buffer-pool-size=64M >"$HERE/mariadbd.log" 2>&1 &
    wait_for mariadbd test -S "$MYSQL_UNIX_PORT"
    cat >"$HERE/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$HERE/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$port_dbd
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
PidFile=$HERE/slurmdbd.pid
CONF
    chmod 600 "$HERE/slurmdbd.conf" # slurmdbd looks for it beside $SLURM_CONF
    slurmdbd -D >"$HERE/slurmdbd.log" 2>&1 &
    wait_for slurmdbd sacctmgr --noheader show cluster
    for entity in 'cluster tests' 'account tests' 'user root account=tests'; do
        sacctmgr --immediate --quiet add $entity >/dev/null
    done
}

# A slurmd that looks like a machine of its own. Mounts that it makes are seen by it alone.
start_node() {
    unshare --mount --uts bash -c '
        set -e
        hostname "$1"
        mount --bind /tmp /mnt
        mount -t tmpfs tmpfs /tmp && chmod 1777 /tmp
        for path in "${@:2}"; do
            [ "${path#/tmp/}" != "$path" ] || continue
            mkdir -p "$path"
            mount --bind "/mnt${path#/tmp}" "$path"
        done
        umount /mnt
        exec slurmd -D -N "$1"' _ "$1" "${PATHS[@]}" >"$HERE/$1.log" 2>&1 &
}

mkdir "$HERE/state" "$HERE/spool.node1" "$HERE/spool.node2"
echo CgroupPlugin=cgroup/v1 >"$HERE/cgroup.conf" # else slurmd looks which version the system has
start_munged
write_config
start_accounting
slurmctld -D >"$HERE/slurmctld.log" 2>&1 &
start_node node1
start_node node2
wait_for node2 bash -c '[ "$(sinfo --noheader --partition bench --states idle --format %D)" = 2 ]'
echo ready
wait $lifeline
