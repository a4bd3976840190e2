"""From the kernel's cgroup to the person's word: id, runtime, name, image, pod."""
