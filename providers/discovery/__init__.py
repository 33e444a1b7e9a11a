"""Which models a host has, what Palyra makes of them, and taking over what an operator picks."""

from providers.discovery.applying import TAKING_OVER, Applied, Review, apply, review
from providers.discovery.asking import DiscoveryFailed, discover
from providers.discovery.facts import Facts
from providers.discovery.listing import KeptListing, kept_listing
from providers.discovery.price_book import PriceComparison, PriceStanding, register_price_book
from providers.discovery.proposals import Change, Proposal, Standing, proposals
from providers.discovery.proposed_price import NoPrice, ProposedPrice, ProposedRates, ProposedTier
from providers.discovery.refreshing import ask_all, record_all, with_hosts

__all__ = [
    "TAKING_OVER",
    "Applied",
    "Change",
    "DiscoveryFailed",
    "Facts",
    "KeptListing",
    "NoPrice",
    "PriceComparison",
    "PriceStanding",
    "Proposal",
    "ProposedPrice",
    "ProposedRates",
    "ProposedTier",
    "Review",
    "Standing",
    "apply",
    "ask_all",
    "discover",
    "kept_listing",
    "proposals",
    "record_all",
    "register_price_book",
    "review",
    "with_hosts",
]
