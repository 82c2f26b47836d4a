# What with-systemd-ns and with-systemd-vm have in common. Sourced by bash; needs `name` set.

# Bazel gives tests less.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Says why and ends: 125, where the environment of the command could not be made.
die() { echo "$name: $*" >&2; exit 125; }

# Ends with 77 and the reason where one of these programs or files is missing, in the words of the
# Debian package that has it. Arguments: FILE PACKAGE pairs.
need() {
  [ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
  while [ $# -gt 0 ]; do
    compgen -G "$1" >/dev/null || { echo "$1 is missing (Debian package $2)"; exit 77; }
    shift 2
  done
}

# Makes the tree at $1 one that a systemd can boot from without acting on the machine around it: its own
# unit files are all there, but nothing is enabled and nothing is pulled in, but a bus, the journal's
# sockets and the units named in $2.
trim_units() {
  local root=$1 wanted=$2 units=$1/etc/systemd/system unit
  rm -rf "$root"/lib/systemd/system/*.{wants,requires} "$units" "$root/etc/fstab"
  mkdir -p "$units" "$root"/run/systemd/{journald,system}.conf.d
  for unit in systemd-{udevd,udev-trigger,sysctl,modules-load,binfmt,networkd,resolved,timesyncd}.service \
      systemd-random-seed.service systemd-udevd-{control,kernel}.socket {console-,}getty@.service; do
    ln -s /dev/null "$units/$unit"
  done
  cat >"$units/bed.target" <<END
[Unit]
Requires=basic.target dbus.service
After=basic.target dbus.service
Wants=systemd-journald.socket systemd-journald-dev-log.socket $wanted
AllowIsolate=yes
END
  printf '[Journal]\nAudit=\nReadKMsg=no\nStorage=volatile\n' >"$root/run/systemd/journald.conf.d/bed.conf"
  # A command that hangs must not hold up the end of the bed.
  printf '[Manager]\nDefaultStandardOutput=null\nDefaultTimeoutStopSec=5s\n' \
    >"$root/run/systemd/system.conf.d/bed.conf"
}

# Becomes systemd, with a root that was made for it: `boot_systemd ROOT [NAME=VALUE]...`
boot_systemd() {
  cd "$1" || exit 125
  shift
  pivot_root . . && umount -n -l . && cd / || exit 125
  exec env -i PATH="$PATH" \
    SYSTEMD_GENERATOR_PATH=/nonexistent "$@" \
    /lib/systemd/systemd --system --unit=bed.target --show-status=no </dev/null
}
