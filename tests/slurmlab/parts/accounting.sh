# A database of jobs, on request: MariaDB, and slurmdbd in front of it. Both belong to the lab and listen only inside it.

accounting_conf() {
  if [ "$ACCOUNTING" = 0 ]; then
    echo "AccountingStorageType=accounting_storage/none"
  else
    echo "AccountingStorageType=accounting_storage/slurmdbd"
    echo "AccountingStorageHost=$NET.1"
    echo "AccountingStoragePort=$(accounting_port)"
    # what is called a password is munge's socket
    echo "AccountingStoragePass=$LAB/run/munge.sock"
  fi
}

# slurmdbd listens on every address of the machine, so labs differ in the port.
accounting_port() { echo $((16000 + ID)); }

start_accounting() {
  if [ "$ACCOUNTING" = 0 ]; then return 0; fi
  local tool
  for tool in mariadbd mariadb-install-db slurmdbd; do
    command -v "$tool" >/dev/null || die "no $tool: apt-get install slurmdbd mariadb-server-core mariadb-client-core"
  done
  start_database
  write_slurmdbd_conf
  as_ctl "MYSQL_UNIX_PORT=$LAB/run/mariadb.sock slurmdbd" || die "slurmdbd does not start; see $LAB/log/slurmdbd.log"
  wait_until 20 accounting_answers || die "slurmdbd does not listen; see $LAB/log/slurmdbd.log"
}

start_database() {
  local data=$LAB/state/mariadb log=$LAB/log/mariadb.log
  mariadb-install-db --no-defaults --datadir="$data" --user=root --auth-root-authentication-method=normal \
    --skip-test-db >"$log" 2>&1 || die "no database; see $log"
  setsid mariadbd --no-defaults --datadir="$data" --user=root --skip-networking --socket="$LAB/run/mariadb.sock" \
    --pid-file="$LAB/run/mariadb.pid" --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
    </dev/null >>"$log" 2>&1 9<&- &
  wait_until 20 test -S "$LAB/run/mariadb.sock" || die "the database does not start; see $log"
}

write_slurmdbd_conf() {
  # slurmdbd reads it only when it is nobody else's
  (umask 077 && cat >"$LAB/etc/slurmdbd.conf") <<END
DbdHost=ctl
DbdPort=$(accounting_port)
AuthType=auth/munge
AuthInfo=socket=$LAB/run/munge.sock
SlurmUser=root
PidFile=$LAB/run/slurmdbd.pid
LogFile=$LAB/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=lab
END
}

accounting_answers() { (: <"/dev/tcp/$NET.1/$(accounting_port)") 2>/dev/null; }

stop_accounting() {
  stop_pidfile "$LAB/run/slurmdbd.pid"
  stop_pidfile "$LAB/run/mariadb.pid"
}
