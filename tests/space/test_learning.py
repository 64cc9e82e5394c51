from replaytree.records import Decision
from replaytree.space import Classifier, DecisionSpace, Pooling, chain
from replaytree.space.layers import BiasedConvolution, Ending
from replaytree.space.learning import can_learn, cheapest_learner


class Stopping:
    """An ending, or a pooling that keeps the map; a convolution behind the pooling alone."""

    name, source, nested = "stopping", "a test", True
    input_shape, num_classes, max_layers = (1, 4, 4), 2, 2
    layers = (Ending("softmax"), Pooling("avg", 3, 1), BiasedConvolution(4, 3))

    def options(self):
        return {}

    def decisions(self, depth):
        return (Decision("layer", tuple(layer.label for layer in self.layers)),)

    def legal(self, prefix, chosen):
        return (False, False, False) if prefix == (0,) else (True, True, bool(prefix))

    def label(self, prefix, values):
        return self.layers[values[0]].label

    def network(self, path):
        head = Classifier(self.num_classes, "flatten")
        return chain([self.layers[action] for action in path], input_shape=self.input_shape, head=head)


def test_an_ending_does_not_hide_what_may_follow_the_same_map():
    assert can_learn(DecisionSpace(Stopping())) is True


def test_the_cheapest_network_that_learns_is_behind_what_costs_least_before_it():
    space = Stopping()
    costs = {(0,): 1.0, (1,): 2.0, (1, 0): 3.0, (1, 1): 3.0, (1, 2): 5.0}
    assert cheapest_learner(DecisionSpace(space), costs.__getitem__) == (1, 2)
    assert cheapest_learner(DecisionSpace(Still()), lambda path: float(len(path))) is None


class Still(Stopping):
    """No convolution at all."""

    def legal(self, prefix, chosen):
        return (True, True, False)
