"""Every system call. These rooms do what they are told and decide nothing."""
