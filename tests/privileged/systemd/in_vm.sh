#!/bin/sh
# What tests/testing/with-systemd-vm runs: on the first boot it makes containers and reboots, on the second
# it runs the tests, vm_test.py first of all looking for those containers. What must outlast the boot
# is in the folder of XML_OUTPUT_FILE.
set -e
PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE
if [ "$BED_BOOT" = 1 ]; then
  /usr/bin/python3 tests/privileged/systemd/before_reboot.py "${XML_OUTPUT_FILE%/*}"
  touch /run/bed/reboot
  sync
  systemctl reboot --force
  sleep 100
fi
exec tests/testing/run_pytest.sh tests/privileged/systemd/vm_test.py
