"""How proxies are told to report to us: options in, commented YAML out.

Text only: nothing here reads a file, asks a server or knows an Envoy. Used by the command line.
"""

from meshtrail.wiring.envoy import EnvoyWiring, format_envoy
from meshtrail.wiring.identity import FileIdentity, SdsIdentity
from meshtrail.wiring.istio import IstioPart, IstioWiring, format_istio
from meshtrail.wiring.values import Endpoint, parse_endpoint

__all__ = [
    "Endpoint",
    "EnvoyWiring",
    "FileIdentity",
    "IstioPart",
    "IstioWiring",
    "SdsIdentity",
    "format_envoy",
    "format_istio",
    "parse_endpoint",
]
