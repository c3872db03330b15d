"""UWS 1.1: asynchronous jobs of any protocol. The table of jobs is their queue; workers are processes of their own."""
