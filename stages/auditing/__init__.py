"""What an audit looks at: passes over a store block by block, and the judgement of what they find."""
