# Each cluster has one cgroup, and each node one below it: what a node runs, containers included, is found there, and
# ended there, without ever looking for processes by name. Works on cgroup v1 and v2.
# shellcheck shell=bash

CGROUPS=/sys/fs/cgroup

cgroup_v2() { [[ -f $CGROUPS/cgroup.controllers ]]; }

# The hierarchies of this machine: one folder on v2, one for each controller on v1.
cgroup_hierarchies() {
  if cgroup_v2; then echo "$CGROUPS"; return; fi
  local folder
  for folder in "$CGROUPS"/*/; do
    folder=${folder%/}
    # cpu and cpuacct are often links to one hierarchy. The hybrid layout's "unified" has no controllers.
    [[ -L $folder || ${folder##*/} == unified || ! -f $folder/cgroup.procs ]] || echo "$folder"
  done
}

# The hierarchy that says which processes a group has.
cgroup_of_processes() { if cgroup_v2; then echo "$CGROUPS"; else echo "$CGROUPS/pids"; fi; }

cgroup_make() { # group, for instance tradingbot-0/node1
  local hierarchy part path file
  while read -r hierarchy; do
    path=$hierarchy
    for part in ${1//\// }; do
      if cgroup_v2; then
        # A kubelet refuses to start where one of these controllers is missing.
        for file in cpuset cpu io memory pids; do echo "+$file" >"$path/cgroup.subtree_control" 2>/dev/null || true; done
      fi
      mkdir -p "$path/$part"
      if [[ $hierarchy == */cpuset ]]; then
        for file in cpuset.cpus cpuset.mems; do cat "$path/$file" >"$path/$part/$file"; done
      fi
      path=$path/$part
    done
  done < <(cgroup_hierarchies)
}

# A cluster on a busy machine is to keep its times: to the scheduler a group is one process, however many are in it.
cgroup_weigh() { # group
  if cgroup_v2; then echo 1600 >"$CGROUPS/$1/cpu.weight" 2>/dev/null || true
  else echo 16384 >"$CGROUPS/cpu/$1/cpu.shares" 2>/dev/null || true; fi
}

cgroup_enter() { # group: moves this shell into its leaf for daemons
  local hierarchy
  cgroup_make "$1/system"
  while read -r hierarchy; do
    echo "$BASHPID" >"$hierarchy/$1/system/cgroup.procs" || die "Could not enter the cgroup $hierarchy/$1/system."
  done < <(cgroup_hierarchies)
}

cgroup_processes() { # group: every process in it and below
  local top
  top=$(cgroup_of_processes)/$1
  [[ -d $top ]] || return 0
  find "$top" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

cgroup_freeze() { # folder that holds the state (as cgroup_freezer prints it)
  if cgroup_v2; then echo 1 >"$1/cgroup.freeze"; else echo FROZEN >"$1/freezer.state"; fi
}

cgroup_thaw() {
  if cgroup_v2; then echo 0 >"$1/cgroup.freeze"; else echo THAWED >"$1/freezer.state"; fi
}

cgroup_frozen() {
  if cgroup_v2; then grep -qx 'frozen 1' "$1/cgroup.events"; else grep -qx FROZEN "$1/freezer.state"; fi
}

cgroup_freezer() { if cgroup_v2; then echo "$CGROUPS/$1"; else echo "$CGROUPS/freezer/$1"; fi; }

# SIGKILL to all of a group at one moment: frozen first, so that nothing in it sees a part of it die.
cgroup_kill() { # group
  local freezer folder pids round
  freezer=$(cgroup_freezer "$1")
  [[ -d $freezer ]] || return 0
  cgroup_freeze "$freezer" 2>/dev/null || true
  for round in {1..100}; do
    pids=$(cgroup_processes "$1")
    # shellcheck disable=SC2086
    [[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
    # On v1 a frozen process dies when it is thawed, and a group that was frozen by itself stays so.
    while read -r folder; do cgroup_thaw "$folder" 2>/dev/null || true; done < <(find "$freezer" -type d 2>/dev/null)
    [[ -n $(cgroup_processes "$1") ]] || return 0
    sleep 0.05
  done
  die "Some processes of the cgroup $1 do not die, $round rounds of SIGKILL long: $(cgroup_processes "$1" | tr '\n' ' ')"
}

cgroup_remove() { # group, and all below
  local hierarchy round
  for round in {1..40}; do
    while read -r hierarchy; do
      [[ ! -d $hierarchy/$1 ]] || find "$hierarchy/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done < <(cgroup_hierarchies; echo "$CGROUPS/unified")
    compgen -G "$CGROUPS/$1" >/dev/null || compgen -G "$CGROUPS/*/$1" >/dev/null || return 0
    sleep 0.05
  done
  say "cluster: the cgroup $1 could not be removed in $round tries."
}
