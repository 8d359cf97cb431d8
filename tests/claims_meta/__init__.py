"""Every claims file of every wing, run small where its statements are known to be untrue, or true."""
