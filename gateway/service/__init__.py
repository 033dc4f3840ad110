"""What stands around the way of a message: the broker's coming and going, the operator's commands,
the plugins' timers, and the handlers of an application that embeds the gateway.
"""
