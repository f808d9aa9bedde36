"""The simulated operating system: machines, processes, network and files on virtual time. Knows nothing of Shorthorn.

    kernel = Kernel(seed=7)                           # virtual time in ns, named streams of chance
    network = Network(kernel)
    n1 = Machine(kernel, network, "n1")               # powered on
    async def main(process: Process) -> int: ...      # plain asyncio; time is the machine's
    process = spawn(n1, "agent", main)                # or n1.spawn(...)
    kernel.run_for(3.0)                               # seconds of virtual time
    kernel.run_until(lambda: process.ended, bound_s=60)
    network.cut("n1", "n2"); n1.power_off(); n1.power_on(); process.kill(); process.pause(); process.resume()
    kernel.close()                                    # nothing of the world runs after that

Two runs with one seed and one sequence of calls are the same run: `kernel.digest` tells.
"""
