"""A support chatbot: greet, answer from a knowledge base or hand over to a person, and keep an audit."""
