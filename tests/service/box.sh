#!/bin/bash
# A machine of its own with a real systemd as PID 1, out of this machine's /usr and an empty rest. Run by `unshare` in new
# namespaces, in a cgroup of its own: box.sh FOLDER PROJECT SITE_PACKAGES PYTHON_PREFIX PYTHON
set -euo pipefail
folder=$1 project=$2 site_packages=$3 prefix=$4 python=$5

mount --make-rprivate /
new=$folder/root
mkdir -p "$new"
mount -t tmpfs tmpfs "$new"
cd "$new"
mkdir -p usr etc/systemd/system run proc sys dev var/log tmp old root srv opt/edge-agent/{bin,code,site-packages,python}
# Read-only views of what exists; the service sees no /home, no /root and a /tmp of its own, so all lies in /opt.
view() { mount --rbind "$1" "$2" && mount -o remount,ro,bind "$2"; }
view /usr usr
view "$project" opt/edge-agent/code
view "$site_packages" opt/edge-agent/site-packages
case $prefix in
  /usr | /usr/*) ;;
  *) view "$prefix" opt/edge-agent/python && python=/opt/edge-agent/python${python#"$prefix"} ;;
esac
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then cp -a "/$name" .; fi
done

mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs dev
mkdir dev/pts dev/shm
for name in null zero full random urandom tty; do
  touch "dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp

cp -a /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/alternatives etc/ 2>/dev/null || true
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
systemd-id128 new >etc/machine-id
for target in sysinit basic shutdown network-online time-sync; do
  printf '[Unit]\nDescription=%s of the test\nDefaultDependencies=no\n' "$target" >"etc/systemd/system/$target.target"
done
cat >etc/systemd/system/default.target <<END
[Unit]
Description=The test's machine
DefaultDependencies=no
Wants=systemd-journald.socket systemd-journald.service
END

cat >opt/edge-agent/bin/edge-agent <<END
#!/bin/sh
export LD_LIBRARY_PATH=/opt/edge-agent/python/lib # empty where the Python is /usr's
export PYTHONPATH=/opt/edge-agent/code:/opt/edge-agent/code/simulators:/opt/edge-agent/site-packages
exec $python -P -m edge_agent "\$@"
END
chmod +x opt/edge-agent/bin/edge-agent
mkdir -p etc/edge-agent/maps.d
cp "$project/config/bottling-line.yaml" etc/edge-agent/maps.d/
cp "$project/systemd/edge-agent.service" etc/systemd/system/
systemd-sysusers --root="$new" "$project/systemd/edge-agent.sysusers"

pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --log-target=journal --show-status=no </dev/null
