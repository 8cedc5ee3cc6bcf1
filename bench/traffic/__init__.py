"""The programs that make traffic, and how busy the machine was meanwhile.

program     a program that makes or takes traffic: started, waited for, ended
iperf3      streams of TCP, or UDP at a rate
echo        ping
cpu         how much of the machine idled
"""

from bench.traffic.cpu import CpuMeter
from bench.traffic.echo import Pings, RunningPing, percentile, ping, start_ping
from bench.traffic.iperf3 import Load, RunningLoad, Throughput, start_load, throughput
from bench.traffic.program import Program, TrafficError, listening, next_port

__all__ = [
    "CpuMeter",
    "Load",
    "Pings",
    "Program",
    "RunningLoad",
    "RunningPing",
    "Throughput",
    "TrafficError",
    "listening",
    "next_port",
    "percentile",
    "ping",
    "start_load",
    "start_ping",
    "throughput",
]
