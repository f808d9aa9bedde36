"""The simulated operating system: machines, processes, network and files on virtual time. Knows nothing of Shorthorn.

    kernel = Kernel(seed=7)                           # virtual time in ns, named streams of chance
    network = Network(kernel)
    n1 = Machine(kernel, network, "n1")               # powered on
    async def main(process: Process) -> int: ...      # plain asyncio; time is the machine's
    process = spawn(n1, "agent", main)                # or n1.spawn(...)
    kernel.run_for(3.0)                               # seconds of virtual time
    kernel.run_until(lambda: process.ended, bound_s=60)
    network.cut("n1", "n2"); n1.power_off(); n1.power_on(); process.kill(); process.pause(); process.resume()
    files, processes = ProcessFiles(process), MachineProcesses(process)   # the ports of one process; n1.clock, n1 (read)
    n1.programs["/bin/x"] = make_main                 # what MachineProcesses.start can start
    n1.files.trouble(PurePosixPath("/disk")).full = True
    kernel.close()                                    # nothing of the world runs after that

An exception that nobody caught ends the run with `Crashed`; a condition that is never reached, with who waits for what.
A killed process never runs again, no `finally` either, and its tasks stay as they are until `close`.
Two runs with one seed and one sequence of calls are the same run: `kernel.digest` tells.
"""
