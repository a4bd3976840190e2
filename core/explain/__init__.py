"""Why a row is what it is: the explanation of a process, a container, a pod and the host."""
